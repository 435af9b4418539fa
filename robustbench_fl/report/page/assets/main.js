// Filters, captions, theme: what ties the parts together.

function choiceOf(data, form) {
  const world = data.malicious.map(() => true);
  for (const filter of data.filters) {
    const picked = form.elements[`filter-${filter.name}`].value;
    if (picked !== "") filter.worlds.forEach((label, w) => { if (label !== Number(picked)) world[w] = false; });
  }
  const family = form.elements.family.value, adaptive = form.elements.adaptive.value;
  const attack = data.attacks.map((facts, a) => a === data.clean
    || ((!family || facts.category === family) && (!adaptive || facts.adaptive === (adaptive === "yes"))));
  const assumed = form.elements.assumed ? form.elements.assumed.value : "";
  const refused = [...form.querySelectorAll("input[name=told]:not(:checked)")].map((box) => box.value);
  const all = world.every(Boolean) && attack.every(Boolean) && assumed === "";
  return { world, attack, assumed: assumed === "" ? null : Number(assumed), refused, all: all && !refused.length };
}

function pick(name, title, options) {
  return el("label", {}, el("span", {}, title), el("select", { name }, ...options.map(([value, text]) => el("option", { value }, text))));
}

function drawFilters(data, form) {
  for (const filter of data.filters) {
    form.append(pick(`filter-${filter.name}`, filter.title, [["", `all ${filter.labels.length}`], ...filter.labels.map((text, k) => [k, text])]));
  }
  if (data.assumed.length > 2) {
    form.append(pick("assumed", "Assumed f", [["", "all"], ...data.assumed.map((text, k) => [k, text]).slice(1)]));
  }
  const families = [...new Set(data.attacks.map(({ category }) => category))].filter((name) => name !== "none").sort();
  form.append(pick("family", "Attack family", [["", "all"], ...families.map((name) => [name, name])]));
  form.append(pick("adaptive", "Adaptive attacks", [["", "all, apart"], ["no", "only not adaptive"], ["yes", "only adaptive"]]));
  const needs = [...new Set(data.rules.flatMap((rule) => rule.told))].sort();
  if (needs.length) form.append(el("fieldset", {}, el("legend", {}, "Rules may be told"), ...needs.map((need) =>
    el("label", {}, el("input", { type: "checkbox", name: "told", value: need, checked: true }), ` ${need.replaceAll("_", " ")}`))));
  form.append(el("button", { type: "reset" }, "Reset"));
}

// Without a filter the numbers are those of the tables; with one they are computed here.
function currentBoard(data, choice) {
  const told = (rule) => !rule.told.some((need) => choice.refused.includes(need));
  if (!choice.all) return boardOf(data, choice, told);
  const rows = data.board.rows;
  return { rows, score: data.board.score, cells: chosenCells(data, choice) };
}

// Columns that are shown: under a filter only those that were computed for it.
function columnsFor(data, board, choice) {
  const names = new Set(board.rows.flatMap((row) => Object.keys(row).filter((name) => (row[name] ?? "") !== "")));
  return data.board.columns.filter((column) => choice.all || names.has(column.name) || column.name === "rank");
}

function captionOf(data, board, choice, columns) {
  if (choice.all) return data.board.caption;
  const c = data.cells, done = board.cells.filter(({ i }) => !Number.isNaN(c.accuracy[i])).length;
  const per = new Map();
  for (const { i } of board.cells) inner(per, c.world[i], Set).add(c.seed[i]);
  const seeds = [...new Set([...per.values()].map((own) => own.size))].sort((a, b) => a - b);
  const attacks = [...new Set(board.cells.map(({ i }) => c.attack[i]))].filter((a) => a !== data.clean && !data.attacks[a].adaptive);
  const gone = data.board.columns.filter((column) => !columns.includes(column)).map((column) => column.title);
  const several = board.score !== "worst_accuracy";
  const n = seeds.length > 1 ? `${seeds[0]}–${seeds[seeds.length - 1]} seeds` : `${seeds[0]} seed${seeds[0] === 1 ? "" : "s"}`;
  const parts = [
    `Filtered; computed in this page from ${done} finished cells as the tables are.`,
    `Sorted by ${board.score}: ${data.texts.sort[board.score]}.`,
    several ? `${n}; brackets: 95 % percentile bootstrap over seeds within each block; = paired difference to the leader of the group does not exclude 0.`
      : seeds.length === 1 && seeds[0] === 1 ? "n=1, no interval." : `${n}, too few or not the same in every block and attack: no interval.`,
    `${board.blocks} block${board.blocks === 1 ? "" : "s"}, ${attacks.length} attack${attacks.length === 1 ? "" : "s"}.`,
    choice.refused.length ? "Ranks are among the rules shown." : "",
    `Missing cells (${data.missing}): ${data.texts.policy}.`,
    gone.length ? `Not shown here: ${gone.join(", ")}.` : "",
    data.board.columns.some((column) => ["tpr", "fpr", "clean_fpr"].includes(column.interval)) ? "Binomial intervals of rates only without a filter." : "",
  ];
  return parts.filter(Boolean).join(" ");
}

function unrankedText(rows) {
  const out = rows.filter((row) => row.rank === null).map((row) => `${row.aggregator} (${row.note || "no score"})`);
  return out.length ? `Not ranked: ${out.join("; ")}.` : "";
}

function legendFor(value) {
  const { better } = VALUES[value];
  const steps = Array.from({ length: 21 }, (_, k) => {
    const bit = el("i");
    bit.style.backgroundColor = `rgb(${colour(better === "higher" ? k / 20 : 1 - k / 20).join(" ")})`;
    return bit;
  });
  return [el("span", {}, "0 %"), el("span", { class: "ramp", "aria-hidden": "true" }, ...steps), el("span", {}, "100 %"),
    el("span", {}, `bright is good for the defender (${better} is better)`)];
}

function matrixCaption(data, value) {
  const loss = value === "accuracy_loss" ? " Loss: the rule's own accuracy without attack minus that under the attack, in points; below 0 is drawn as 0." : "";
  const worst = value === "accuracy" ? " worst: as in the leaderboard." : "";
  const several = new Set(data.cells.seed).size > 1;
  const ties = data.paired ? " = tied to the best (paired 95 % interval over seeds includes 0)." : several ? " Ties are not judged here: worlds differ in their seeds." : " n=1, no interval.";
  const adaptive = data.attacks.some((attack) => attack.adaptive) ? " Adaptive attacks stand last, behind a line." : "";
  return `${VALUES[value].title} in percent, mean over the blocks and seeds chosen above.${loss}${worst} Bold and framed: best rule under the attack.${ties}`
    + ` † plain averaging is not hurt: no rule is credited. – no cell or no value; * fewer cells than planned.${adaptive}`
    + " Open an entry for its curves, configuration, provenance and command.";
}

function draw(data, form) {
  const choice = choiceOf(data, form), board = currentBoard(data, choice);
  const columns = columnsFor(data, board, choice);
  drawTable(columns, board.rows, () => drawTable(columns, board.rows, () => draw(data, form)));
  byId("board-caption").replaceChildren(captionOf(data, board, choice, columns));
  byId("unranked").replaceChildren(unrankedText(board.rows));
  const value = byId("value").value;
  drawMatrix(data, board, value, (rule, attack, places) => openCell(data, rule, attack, places));
  byId("ramp").replaceChildren(...legendFor(value));
  byId("matrix-caption").replaceChildren(matrixCaption(data, value));
}

function themeButton() {
  const root = document.documentElement, button = byId("theme");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  const name = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();
}

async function start() {
  themeButton();
  if (!("DecompressionStream" in window)) {
    byId("state").textContent = "This browser cannot unpack the page's data: Chrome 80, Firefox 113 or Safari 16.4 and later can.";
    return;
  }
  const data = prepared(await unpacked(byId("data").textContent));
  const form = byId("filters");
  drawFilters(data, form);
  const present = Object.keys(VALUES).filter((value) => data.cells[value].some((number) => !Number.isNaN(number)));
  byId("value").append(...present.map((value) => el("option", { value }, VALUES[value].title)));
  form.addEventListener("change", () => draw(data, form));
  form.addEventListener("reset", () => { order = null; setTimeout(() => draw(data, form)); });
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("value").addEventListener("change", () => draw(data, form));
  byId("matrix").addEventListener("keydown", walk);
  byId("cell").addEventListener("click", (event) => { if (event.target === byId("cell")) byId("cell").close(); });
  byId("close").addEventListener("click", () => byId("cell").close());
  draw(data, form);
  byId("state").remove();
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  byId("state").textContent = `The page's data cannot be read (${error.message}). Make it anew with: robustbench-fl report DIR`;
});
