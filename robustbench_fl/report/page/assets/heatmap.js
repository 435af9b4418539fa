// The matrix: rules × attacks as a heat map walked with the arrow keys.

let here = [0, 0]; // the cell that the tab key reaches
const BEST = 1, TIED = 2;

function drawMatrix(data, view, value, open) {
  const found = view.matrices[value], { better } = data.values[value];
  const worst = value === "accuracy" ? new Map(view.order.map((rule, r) => [rule, view.worst[r]])) : null;
  const facts = new Map(data.attacks.map((attack) => [attack.name, attack]));
  const columns = data.attacks.map(({ name }) => name).filter((name) => found.attacks.includes(name));
  const head = el("tr", {}, el("th", { scope: "col" }, "Aggregator"),
    worst && el("th", { scope: "col", class: "worst" }, el("span", {}, "worst")),
    ...columns.map((name) => attackHead(facts.get(name), found.weak.includes(name))));
  const body = found.rules.map((rule, r) => el("tr", { class: view.unranked.includes(rule) ? "unranked" : null },
    el("th", { scope: "row" }, rule),
    worst && painted(el("td", { class: "worst", "data-value": worst.get(rule) }, percent(worst.get(rule))), worst.get(rule), better),
    ...columns.map((name, a) => matrixCell(found, r, found.attacks.indexOf(name), better, [r, a], open))));
  const table = byId("matrix");
  table.replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
  here = [Math.min(here[0], found.rules.length - 1), Math.min(here[1], columns.length - 1)];
  reachable(table);
}

function attackHead({ shown, text, adaptive }, weak) {
  return el("th", { scope: "col", class: adaptive ? "adaptive" : null, title: text + (weak ? ", ineffective" : "") },
    el("span", {}, `${weak ? "† " : ""}${shown}`));
}

function matrixCell(found, r, a, better, place, open) {
  const mean = found.mean[r][a], done = found.done[r][a], planned = found.planned[r][a], mark = found.marks[r][a];
  const text = percent(mean) + (done < planned && mean !== null ? "*" : "") + (mark & TIED ? "=" : "");
  const rule = found.rules[r], attack = found.attacks[a];
  const said = `${rule}, ${attack}: ${text === DASH ? "no value" : `${text} %`}`
    + `${mark & BEST ? ", best" : mark & TIED ? ", tied to the best" : ""}, ${done} of ${planned} cells. Opens them.`;
  const node = el("td", {
    role: "gridcell", tabindex: -1, class: mean === null ? "hole" : mark & BEST ? "best" : null, "aria-label": said,
    "data-at": place.join(" "), "data-rule": rule, "data-attack": attack, "data-value": mean, "data-done": done,
    "data-planned": planned, "data-tied": Boolean(mark & TIED),
    onclick: () => { here = place; reachable(byId("matrix")); open(rule, attack); },
  }, text);
  return painted(node, mean, better);
}

function painted(node, mean, better) {
  if (mean === null) return node;
  const rgb = colour(better === "higher" ? mean : 1 - mean);
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
