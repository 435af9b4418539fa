// Elements, numbers as people read them, colours. Text from records only ever becomes a text node.

function el(name, attributes = {}, ...children) {
  const node = name.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4))
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const byId = (id) => document.getElementById(id);
const DASH = "–";
const average = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
const lowest = (numbers) => numbers.reduce((a, b) => Math.min(a, b), Infinity);
const highest = (numbers) => numbers.reduce((a, b) => Math.max(a, b), -Infinity);

function percent(value) {
  if (value === null || Number.isNaN(value)) return DASH;
  const text = (100 * value).toFixed(1);
  return text === "-0.0" ? "0.0" : text;
}

function plainNumber(value) {
  if (value === null || Number.isNaN(value)) return DASH;
  if (Number.isInteger(value) || Math.abs(value) >= 100) return value.toFixed(0);
  return String(Number(value.toPrecision(3)));
}

const SHOW = { percent, number: plainNumber, text: (value) => value || DASH };

// Viridis: colours that every eye can distinguish, in grey by lightness alone.
const VIRIDIS = ["440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725"]
  .map((hex) => [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16)));

function colour(share) {
  const place = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(place), VIRIDIS.length - 2), rest = place - low;
  return VIRIDIS[low].map((part, k) => Math.round(part + (VIRIDIS[low + 1][k] - part) * rest));
}

// Black or white, whichever has the better contrast.
function inkOn(rgb) {
  const [r, g, b] = rgb.map((part) => {
    const c = part / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000" : "#fff";
}

// Okabe and Ito's colours, as in the figures.
const HUES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6BB1", "#8C564B"];
const DASHES = ["", "7 3", "2 2.5", "8 3 2 3"];
