// The matrix: rules × attacks as a heat map walked with the arrow keys.

let here = [0, 0]; // the cell that the tab key reaches

function drawMatrix(data, board, value, open) {
  const found = matrixOf(data, board.cells, value);
  const attacks = attackOrder(data, found, value);
  const rules = board.rows.map((row) => data.rules.findIndex((rule) => rule.name === row.aggregator));
  const worst = value === "accuracy" ? board.rows.map((row) => row.worst_accuracy) : null;
  const head = el("tr", {}, el("th", { scope: "col" }, "Aggregator"),
    worst && el("th", { scope: "col", class: "worst" }, el("span", {}, "worst")),
    ...attacks.map((attack) => attackHead(data, found, attack)));
  const body = rules.map((rule, r) => el("tr", { class: board.rows[r].rank === null ? "unranked" : null },
    el("th", { scope: "row" }, data.rules[rule].name),
    worst && painted(el("td", { class: "worst", "data-value": worst[r] }, percent(worst[r])), worst[r], value),
    ...attacks.map((attack, a) => matrixCell(data, found, rule, attack, value, [r, a], open))));
  const table = byId("matrix");
  table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
  here = [Math.min(here[0], rules.length - 1), Math.min(here[1], attacks.length - 1)];
  reachable(table);
}

// The attack none first, adaptive ones last; only those with a value.
function attackOrder(data, found, value) {
  const met = new Set();
  for (const [name, entry] of found.entries) {
    if (value === "accuracy" || entry.values.length) met.add(Number(name.split(" ")[1]));
  }
  const key = (a) => (a === data.clean ? 0 : data.attacks[a].adaptive ? 2 : 1);
  return [...met].sort((a, b) => key(a) - key(b) || compared(data.attacks[a].name, data.attacks[b].name));
}

function attackHead(data, found, attack) {
  const { name, category, adaptive, knowledge } = data.attacks[attack];
  const said = attack === data.clean ? "no attack" : `${adaptive ? "adaptive, " : ""}${category}, sees ${knowledge}`;
  const weak = found.weak.has(attack);
  return el("th", { scope: "col", class: adaptive ? "adaptive" : null, title: said + (weak ? ", ineffective" : "") },
    el("span", {}, `${attack === data.clean ? "none (clean)" : name}${weak ? "†" : ""}`));
}

function matrixCell(data, found, rule, attack, value, place, open) {
  const entry = found.entries.get(`${rule} ${attack}`) ?? new Entry();
  const partial = entry.done < entry.planned && !Number.isNaN(entry.mean);
  const text = percent(entry.mean) + (partial ? "*" : "") + (entry.tied ? "=" : "");
  const kind = Number.isNaN(entry.mean) ? "hole" : entry.best ? "best" : null;
  const said = `${data.rules[rule].name}, ${data.attacks[attack].name}: ${text === DASH ? "no value" : `${text} %`}`
    + `${entry.best ? ", best" : entry.tied ? ", tied to the best" : ""}, ${entry.done} of ${entry.planned} cells. Opens them.`;
  const node = el("td", {
    role: "gridcell", tabindex: -1, class: kind, "aria-label": said, "data-at": place.join(" "),
    "data-rule": data.rules[rule].name, "data-attack": data.attacks[attack].name,
    "data-value": known(entry.mean), "data-done": entry.done, "data-planned": entry.planned, "data-tied": entry.tied,
    onclick: () => { here = place; reachable(byId("matrix")); open(rule, attack, entry.places); },
  }, text);
  return painted(node, entry.mean, value);
}

function painted(node, mean, value) {
  if (mean === null || Number.isNaN(mean)) return node;
  const rgb = colour(VALUES[value].better === "higher" ? mean : 1 - mean);
  node.style.backgroundColor = `rgb(${rgb.join(" ")})`;
  node.style.color = inkOn(rgb);
  return node;
}

function reachable(table) {
  for (const cell of table.querySelectorAll('td[tabindex="0"]')) cell.tabIndex = -1;
  const cell = table.querySelector(`td[data-at="${here.join(" ")}"]`);
  if (cell) cell.tabIndex = 0;
  return cell;
}

const STEPS_OF = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -1e6], End: [0, 1e6] };

function walk(event) {
  const table = byId("matrix");
  if (!event.target.dataset.at) return;
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); event.target.click(); return; }
  const step = STEPS_OF[event.key];
  if (!step) return;
  event.preventDefault();
  const rows = table.tBodies[0].rows.length, columns = table.querySelectorAll('td[data-at^="0 "]').length;
  here = [rows, columns].map((size, k) => Math.min(Math.max(here[k] + step[k], 0), size - 1));
  reachable(table)?.focus();
}
