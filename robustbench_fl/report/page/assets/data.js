// The page's data: one gzipped JSON text, columns over all cells.

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// The value at place i of a coded column: its distinct values, and which stands where.
function at(column, i) {
  return column.values[column.at ? column.at[i] : 0];
}

const MEASURED = [
  "accuracy", "accuracy_std", "worst_class_accuracy", "attack_success", "tpr", "fpr", "dacc", "auc",
  "server_ms", "peak_memory_mb",
];

// Turn columns of numbers into typed arrays, missing into NaN, and blank accuracies that do not count.
function prepared(data) {
  const cells = data.cells;
  cells.n = cells.key.length;
  for (const name of MEASURED) {
    cells[name] = Float64Array.from(cells[name], (value) => (value === null ? NaN : value));
  }
  const counts = (i) => ["done", "diverged"].includes(at(cells.status, i));
  cells.accuracy = cells.accuracy.map((value, i) => (counts(i) ? value : NaN));
  cells.infeasible = Uint8Array.from(cells.key, (_, i) => at(cells.status, i) === "infeasible");
  data.clean = data.attacks.findIndex((attack) => attack.name === "none");
  cells.accuracy_loss = lossOf(data);
  return data;
}

// What an attack costs the rule: its own accuracy under the attack none in the same world, under the
// same assumed f and seed, minus the accuracy under the attack.
function lossOf(data) {
  const cells = data.cells;
  const name = (i) => `${cells.world[i]} ${cells.rule[i]} ${cells.assumed[i]} ${cells.seed[i]}`;
  const clean = new Map();
  for (let i = 0; i < cells.n; i++) {
    if (cells.attack[i] === data.clean) clean.set(name(i), cells.accuracy[i]);
  }
  return cells.accuracy.map((value, i) =>
    cells.attack[i] === data.clean ? NaN : (clean.get(name(i)) ?? NaN) - value);
}

// The evaluations of a cell as fractions; null where the curve has no such value.
function curveOf(data, i, name) {
  const differences = i < data.details[name].length ? data.details[name][i] : null;
  if (!differences) return null;
  let total = 0;
  const values = differences.map((step) => (step === null ? null : (total += step) / data.details.steps));
  return { round: at(data.details.rounds, i), values };
}
