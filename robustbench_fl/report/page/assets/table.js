// The leaderboard: a table a track, which sorts by click or key.

let order = null; // {name, direction} once a header was pressed

const missing = (value) => value === null || value === undefined || value === "";

function sortedRows(rows) {
  if (!order) return rows;
  const sign = order.direction === "ascending" ? 1 : -1;
  return [...rows].sort((a, b) => {
    const x = a[order.name], y = b[order.name];
    if (missing(x) || missing(y)) return missing(x) - missing(y);
    return sign * (typeof x === "number" ? x - y : String(x) < String(y) ? -1 : String(x) > String(y) ? 1 : 0);
  });
}

function press(column, board, draw) {
  const other = { ascending: "descending", descending: "ascending" };
  const again = order && order.name === column.name;
  order = { name: column.name, direction: again ? other[order.direction] : column.first };
  draw();
  document.querySelector(`#boards table[data-board="${board}"] button[data-column="${column.name}"]`).focus();
}

function boardTable(columns, rows, title, draw) {
  const head = el("tr", {}, ...columns.map((column) => {
    const sorted = order && order.name === column.name ? order.direction : "none";
    const button = el("button", { type: "button", "data-column": column.name, onclick: () => press(column, title, draw) }, column.title);
    return el("th", { scope: "col", "aria-sort": sorted, class: column.kind, "data-head": column.name }, button);
  }));
  const body = sortedRows(rows).map((row) =>
    el("tr", { class: row.note ? "unranked" : null }, ...columns.map((column) => entry(column, row))));
  return el("table", { class: "board", "data-board": title }, el("thead", {}, head), el("tbody", {}, ...body));
}

function drawBoards(view, track, wide, draw) {
  const shown = view.tracks.filter(({ title }) => !track || title === track);
  const columns = (rows) => view.columns.filter((column) => wide || !column.wide).filter(({ name }) => rows.some((row) => !missing(row[name])));
  byId("boards").replaceChildren(...shown.flatMap(({ title, rows }) => [
    el("h3", {}, title),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, boardTable(columns(rows), rows, title, draw)),
  ]));
}

function entry(column, row) {
  const value = row[column.name] ?? null;
  const mark = { class: column.kind, "data-column": column.name, "data-value": value };
  if (column.name === "aggregator") return el("th", { scope: "row", "data-column": "aggregator", "data-value": value }, value);
  if (column.name === "coverage") return coverageEntry(mark, value);
  const show = SHOW[column.kind], text = show(value) + (column.name === "rank" && row.tied ? "=" : "");
  const low = column.interval ? row[`${column.interval}_low`] ?? null : null;
  if (low === null) return el("td", mark, text);
  const high = row[`${column.interval}_high`];
  return el("td", { ...mark, "data-low": low, "data-high": high }, text, el("small", {}, `${show(low)}–${show(high)}`));
}

// Holes are seen before they are read.
function coverageEntry(mark, value) {
  const [done, feasible] = value.split(",")[0].split("/").map(Number);
  return el("td", { ...mark, class: done === feasible ? "text" : "text holes" },
    el("meter", { min: 0, max: feasible || 1, value: done, "aria-hidden": "true" }), ` ${value}`);
}
