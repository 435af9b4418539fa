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
  markBest(data, found, weak, VALUES[value].better === "higher" ? 1 : -1, value);
  return { entries: found, weak };
}

class Entry {
  constructor() { Object.assign(this, { values: [], places: [], done: 0, planned: 0, mean: NaN, best: false, tied: false }); }
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

function markBest(data, entries, weak, sign, value) {
  const columns = new Map();
  for (const [name, entry] of entries) {
    const [rule, attack] = name.split(" ").map(Number);
    const fit = data.rules[rule].ranked && entry.done >= entry.planned && !Number.isNaN(entry.mean);
    if (fit && !weak.has(attack)) inner(columns, attack, Array).push({ rule, entry });
  }
  for (const column of columns.values()) {
    if (column.length < 2) continue;
    column.sort((a, b) => a.rule - b.rule);
    const top = highest(column.map(({ entry }) => sign * entry.mean));
    for (const { entry } of column) entry.best = sign * entry.mean >= top - SAME;
    const leader = column.find(({ entry }) => sign * entry.mean === top).entry;
    const tied = column.map(({ entry }) => entry).filter((entry) => entry !== leader && tiedPair(data, leader, entry, value));
    for (const entry of tied) entry.tied = leader.tied = true;
  }
}

// Whether the paired 95 % interval over seeds of the difference includes 0; false where it is not known.
function tiedPair(data, first, second, value) {
  if (!data.paired) return false;
  const [own, other] = [first, second].map((entry) => bySeed(data.cells, entry, value));
  const groups = new Map();
  for (const [name, mean] of own) {
    if (other.has(name)) inner(groups, Number(name.split(" ")[0]), Array).push(mean - other.get(name));
  }
  const gaps = [...groups].sort(([a], [b]) => a - b).map(([, part]) => part);
  const { seeds, draws } = data.paired;
  if (!gaps.length || gaps.some((part) => part.length !== seeds)) return false;
  const samples = Float64Array.from({ length: draws[0].length / seeds }, (_, k) => {
    let total = 0;
    gaps.forEach((part, g) => {
      for (let s = 0; s < seeds; s++) total += part[s] * (draws[g].charCodeAt(k * seeds + s) - 48) / seeds;
    });
    return total / gaps.length;
  });
  const [low, high] = interval(samples);
  return low <= 0 && 0 <= high;
}

// Means of an entry's cells: world and seed -> mean, seeds in order.
function bySeed(c, entry, value) {
  const found = new Map();
  for (const i of [...entry.places].sort((a, b) => c.world[a] - c.world[b] || c.seed[a] - c.seed[b])) {
    const number = Number.isNaN(c.accuracy[i]) ? NaN : c[value][i];
    if (!Number.isNaN(number)) inner(found, `${c.world[i]} ${c.seed[i]}`, Array).push(number);
  }
  return new Map([...found].map(([name, numbers]) => [name, average(numbers)]));
}
