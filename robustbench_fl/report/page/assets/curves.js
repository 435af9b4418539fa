// Curves over rounds as SVG: a line a block (mean over seeds), a band from the lowest to the highest seed.

const FRAME = { width: 560, height: 230, left: 40, right: 10, top: 8, bottom: 30 };

// groups: [{label, look, places}]; highlighted: the place of one cell, drawn thin and dark;
// end: rounds finished with the last poisoned one, or null.
function curvesFigure(data, groups, name, highlighted, title, end) {
  const drawn = groups.map((group) => ({ ...group, curves: group.places.map((i) => curveOf(data, i, name)).filter(Boolean) }))
    .filter((group) => group.curves.length);
  if (!drawn.length) return null;
  const last = highest(drawn.flatMap((group) => group.curves.map((curve) => curve.round[curve.round.length - 1])));
  const { width, height, left, right, top, bottom } = FRAME;
  const x = (round) => left + ((width - left - right) * round) / last;
  const y = (share) => top + (height - top - bottom) * (1 - share);
  const svg = el("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title, class: "curves" });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(el("svg:line", { x1: left, x2: width - right, y1: y(share), y2: y(share), class: "grid" }),
      el("svg:text", { x: left - 6, y: y(share) + 3.5, "text-anchor": "end" }, String(100 * share)));
  }
  for (const round of roundTicks(last)) {
    svg.append(el("svg:text", { x: x(round), y: height - bottom + 15, "text-anchor": "middle" }, String(round)));
  }
  svg.append(el("svg:text", { x: width - right, y: height - 2, "text-anchor": "end" }, "round"));
  if (end !== null && end < last) {
    svg.append(el("svg:line", { x1: x(end), x2: x(end), y1: y(1), y2: y(0), class: "end" }),
      el("svg:text", { x: x(end) + 4, y: y(0) - 5 }, "attack ends"));
  }
  for (const group of drawn) svg.append(...groupLines(group, x, y));
  const own = highlighted === null ? null : curveOf(data, highlighted, name);
  if (own && drawn.flatMap((group) => group.curves).length > 1) {
    svg.append(el("svg:polyline", { points: points(own.round, own.values, x, y), class: "own" }));
  }
  return el("figure", {}, el("figcaption", {}, title), svg);
}

function roundTicks(last) {
  const step = [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000, 5000].find((s) => last / s <= 8) ?? last;
  return Array.from({ length: Math.floor(last / step) }, (_, k) => (k + 1) * step);
}

// Line and, for several curves on the same rounds, their band.
function groupLines({ curves, look }, x, y) {
  const round = curves[0].round;
  const same = curves.filter((curve) => curve.round.join() === round.join());
  const over = (reduce) => round.map((_, t) => reduce(same.map((curve) => curve.values[t]).filter((v) => v !== null)));
  const line = el("svg:polyline", { points: points(round, over(average), x, y), stroke: look.hue, "stroke-dasharray": look.dash || null, class: look.kind ?? "line" });
  if (same.length < 2) return [line];
  const low = over(lowest), high = over(highest);
  const edge = [...round.map((t, k) => [t, high[k]]), ...round.map((t, k) => [t, low[k]]).reverse()];
  const band = edge.filter(([, v]) => Number.isFinite(v)).map(([t, v]) => `${x(t).toFixed(1)},${y(v).toFixed(1)}`).join(" ");
  return [el("svg:polygon", { points: band, fill: look.hue, class: "band" }), line];
}

function points(round, values, x, y) {
  return round.map((t, k) => [t, values[k]]).filter(([, v]) => v !== null && !Number.isNaN(v))
    .map(([t, v]) => `${x(t).toFixed(1)},${y(v).toFixed(1)}`).join(" ");
}

function swatch(look) {
  return el("svg:svg", { viewBox: "0 0 24 8", class: "swatch", "aria-hidden": "true" },
    el("svg:line", { x1: 0, x2: 24, y1: 4, y2: 4, stroke: look.hue, "stroke-dasharray": look.dash || null, class: look.kind ?? "line" }));
}
