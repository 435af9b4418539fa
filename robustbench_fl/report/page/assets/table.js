// The leaderboard: a table that sorts by click or key.

let order = null; // {name, direction} once a header was pressed

function sortedRows(rows) {
  if (!order) return rows;
  const sign = order.direction === "ascending" ? 1 : -1;
  const missing = (value) => value === null || value === undefined || value === "";
  return [...rows].sort((a, b) => {
    const x = a[order.name], y = b[order.name];
    if (missing(x) || missing(y)) return missing(x) - missing(y);
    return sign * (typeof x === "number" ? x - y : compared(String(x), String(y)));
  });
}

function press(column, draw) {
  const other = { ascending: "descending", descending: "ascending" };
  const again = order && order.name === column.name;
  order = { name: column.name, direction: again ? other[order.direction] : column.first };
  draw();
  byId("board").querySelector(`button[data-column="${column.name}"]`).focus();
}

function drawTable(columns, rows, draw) {
  const head = el("tr", {}, ...columns.map((column) => {
    const sorted = order && order.name === column.name ? order.direction : "none";
    const button = el("button", { type: "button", "data-column": column.name, onclick: () => press(column, draw) }, column.title);
    return el("th", { scope: "col", "aria-sort": sorted, class: column.kind }, button);
  }));
  const body = sortedRows(rows).map((row) =>
    el("tr", { class: row.rank === null ? "unranked" : null }, ...columns.map((column) => entry(column, row))));
  byId("board").replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
}

function entry(column, row) {
  const value = row[column.name] ?? null;
  const mark = { class: column.kind, "data-column": column.name, "data-value": value };
  if (column.name === "aggregator") return el("th", { scope: "row", "data-column": "aggregator", "data-value": value }, value);
  if (column.name === "coverage") return coverageEntry(mark, value);
  const show = column.name === "rank" ? (rank) => (rank === null ? DASH : String(rank)) : SHOW[column.kind];
  const text = show(value) + (column.name === "rank" && row.tied ? "=" : "");
  const low = column.interval ? row[`${column.interval}_low`] ?? null : null;
  if (low === null) return el("td", mark, text);
  const high = row[`${column.interval}_high`];
  return el("td", { ...mark, "data-low": low, "data-high": high }, text, el("small", {}, `${show(low)}–${show(high)}`));
}

// Holes are seen before they are read.
function coverageEntry(mark, value) {
  const [done, feasible] = value.split(",")[0].split("/").map(Number);
  const whole = done === feasible;
  return el("td", { ...mark, class: whole ? "text" : "text holes" },
    el("meter", { min: 0, max: feasible || 1, value: done, "aria-hidden": "true" }), ` ${value}`);
}
