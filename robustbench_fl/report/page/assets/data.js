// The page's data: one gzipped JSON text. All tables in it were made before; nothing is estimated here.

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// The value at place i of a coded column: its distinct values, and which stands where.
function at(column, i) {
  return column.values[column.at ? column.at[i] : 0];
}

function inner(map, key, Kind) {
  if (!map.has(key)) map.set(key, new Kind());
  return map.get(key);
}

// The cells of a view under one rule and attack.
function placesOf(data, view, rule, attack) {
  const c = data.cells, settings = new Set(view.settings), f = view.assumed ? data.assumed.indexOf(view.assumed) : null;
  const r = data.rules.indexOf(rule), a = data.attacks.findIndex(({ name }) => name === attack);
  return c.key.map((_, i) => i).filter((i) => c.rule[i] === r && c.attack[i] === a && settings.has(c.setting[i])
    && (f === null || c.assumed[i] === 0 || c.assumed[i] === f));
}

// The evaluations of a cell as fractions; null where the curve has no such value.
function curveOf(data, i, name) {
  const differences = i < data.details[name].length ? data.details[name][i] : null;
  if (!differences) return null;
  let total = 0;
  const values = differences.map((step) => (step === null ? null : (total += step) / data.details.steps));
  return { round: at(data.details.rounds, i), values };
}
