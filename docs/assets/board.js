"use strict";
(() => {
  // Tables whose headers sort, and a form that hides rules by name and by what the server must know.
  const value = (row, at) => row.children[at].dataset.value;

  function compare(a, b, at, sign) {
    const [x, y] = [value(a, at), value(b, at)];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined); // nothing comes last
    const [left, right] = [Number(x), Number(y)];
    return sign * (Number.isNaN(left) || Number.isNaN(right) ? x.localeCompare(y) : left - right);
  }

  function sort(table, header) {
    const headers = [...table.tHead.rows[0].cells], at = headers.indexOf(header);
    const cells = [...table.tBodies[0].rows].map((row) => row.children[at]);
    const highFirst = cells.some((cell) => cell.dataset.better === "higher");
    const before = header.getAttribute("aria-sort");
    const up = before ? before === "descending" : !highFirst;
    for (const other of headers) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort((a, b) => compare(a, b, at, up ? 1 : -1)));
  }

  function filter(form) {
    const part = form.querySelector("[type=search]").value.trim().toLowerCase();
    const barred = [...form.querySelectorAll("[type=checkbox]:not(:checked)")].map((box) => box.value);
    for (const row of document.querySelectorAll("tr[data-needs]")) {
      const needs = row.dataset.needs.split(", ");
      const name = row.querySelector("th").textContent.toLowerCase();
      row.hidden = !name.includes(part) || needs.some((need) => barred.includes(need));
    }
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    for (const header of table.tHead.rows[0].cells) {
      header.querySelector("button").addEventListener("click", () => sort(table, header));
    }
  }
  for (const form of document.querySelectorAll(".board-filters")) {
    form.addEventListener("input", () => filter(form));
    form.addEventListener("submit", (event) => event.preventDefault());
  }
  document.documentElement.dataset.boards = "ready";
})();
