// Rules × attacks for a choice of cells, as robustbench_fl/analysis/matrix.py averages them.

const VALUES = {
  accuracy: { title: "Accuracy", better: "higher", kind: "percent" },
  attack_success: { title: "Attack success", better: "lower", kind: "percent" },
  accuracy_loss: { title: "Accuracy loss", better: "lower", kind: "percent" },
};

// Returns a map "rule attack" -> {mean, done, planned, places, best} and the ineffective attacks.
function matrixOf(data, cells, value) {
  const c = data.cells, kept = comparable(data, cells), found = new Map();
  for (const { i } of kept) {
    const entry = inner(found, `${c.rule[i]} ${c.attack[i]}`, Entry);
    entry.planned++;
    entry.places.push(i);
    if (Number.isNaN(c.accuracy[i])) continue;
    entry.done++;
    if (!Number.isNaN(c[value][i])) entry.values.push(c[value][i]);
  }
  for (const entry of found.values()) entry.mean = average(entry.values);
  const weak = ineffective(data, kept);
  markBest(data, found, weak, VALUES[value].better === "higher" ? 1 : -1);
  return { entries: found, weak };
}

class Entry {
  constructor() { Object.assign(this, { values: [], places: [], done: 0, planned: 0, mean: NaN, best: false }); }
}

// Leave out what must not be averaged with the rest, unless nothing else is there.
function comparable(data, cells) {
  const drop = (part, test) => {
    const rest = part.filter((cell) => !test(cell));
    return rest.length ? rest : part;
  };
  const some = drop(cells, ({ i }) => data.malicious[data.cells.world[i]] === 0);
  return drop(some, ({ shared }) => shared);
}

// Attacks that leave plain averaging unhurt wherever they were met.
function ineffective(data, cells) {
  const met = new Set(cells.map(({ i }) => pair(data.cells, i))), hurts = new Map();
  for (const [world, attack, effective] of data.effective) {
    if (met.has(`${world} ${attack}`)) hurts.set(attack, hurts.get(attack) || Boolean(effective));
  }
  return new Set([...hurts].filter(([, effective]) => !effective).map(([attack]) => attack));
}

function markBest(data, entries, weak, sign) {
  const columns = new Map();
  for (const [name, entry] of entries) {
    const [rule, attack] = name.split(" ").map(Number);
    const fit = data.rules[rule].ranked && entry.done >= entry.planned && !Number.isNaN(entry.mean);
    if (fit && !weak.has(attack)) inner(columns, attack, Array).push(entry);
  }
  for (const column of columns.values()) {
    const top = highest(column.map((entry) => sign * entry.mean));
    if (column.length > 1) for (const entry of column) entry.best = sign * entry.mean >= top - SAME;
  }
}
