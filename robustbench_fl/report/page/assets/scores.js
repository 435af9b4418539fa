// The leaderboard of any choice of cells, by the rules of robustbench_fl/analysis.

// choice: {world: [bool], attack: [bool], assumed: null or a place in data.assumed}.
// Returns the cells chosen: {i, accuracy}; rules without any planned cell there are left out.
function chosenCells(data, choice) {
  const c = data.cells, passing = [], rules = new Set();
  for (let i = 0; i < c.n; i++) {
    const told = choice.assumed === null || c.assumed[i] === 0 || c.assumed[i] === choice.assumed;
    if (told && choice.world[c.world[i]] && choice.attack[c.attack[i]]) {
      passing.push(i);
      if (c.key[i]) rules.add(c.rule[i]);
    }
  }
  return imputed(data, passing.filter((i) => rules.has(c.rule[i])));
}

function imputed(data, places) {
  const c = data.cells, shared = beyondAll(c, places);
  const lowest = new Map();
  for (const i of places) {
    const before = lowest.get(c.world[i]) ?? Infinity;
    if (c.accuracy[i] < before) lowest.set(c.world[i], c.accuracy[i]);
  }
  const fill = { exclude: () => NaN, worst: (i) => lowest.get(c.world[i]) ?? NaN, zero: () => 0 }[data.missing];
  return places.map((i) => {
    const lacking = Number.isNaN(c.accuracy[i]) && !shared.has(pair(c, i));
    const accuracy = lacking ? fill(i) : c.accuracy[i];
    return { i, accuracy, filled: lacking && !Number.isNaN(accuracy), shared: shared.has(pair(c, i)) };
  });
}

const pair = (c, i) => `${c.world[i]} ${c.attack[i]}`;

// Pairs of world and attack that are infeasible for every rule: these compare nobody.
function beyondAll(c, places) {
  const open = new Set(), all = new Set();
  for (const i of places) {
    all.add(pair(c, i));
    if (!c.infeasible[i]) open.add(pair(c, i));
  }
  return new Set([...all].filter((name) => !open.has(name)));
}

// Every cell in its blocks: a world under one assumed f; rules told nothing stand in each of a world's.
function inBlocks(data, cells) {
  const c = data.cells, assumed = new Map();
  for (const { i } of cells) {
    if (c.assumed[i] === 0) continue;
    if (!assumed.has(c.world[i])) assumed.set(c.world[i], new Set());
    assumed.get(c.world[i]).add(c.assumed[i]);
  }
  return cells.flatMap((cell) => {
    const world = c.world[cell.i], own = c.assumed[cell.i];
    const stands = own === 0 ? [...(assumed.get(world) ?? [0])] : [own];
    return stands.map((f) => ({ ...cell, block: world * data.assumed.length + f }));
  });
}

// Means over seeds, rule -> block -> attack -> mean; missing values are skipped.
function blockMeans(data, rows, value) {
  const c = data.cells, found = new Map();
  for (const row of rows) {
    const number = value === "accuracy" ? row.accuracy : c[value][row.i];
    if (Number.isNaN(number)) continue;
    const blocks = inner(found, c.rule[row.i], Map);
    const attacks = inner(blocks, row.block, Map);
    if (!attacks.has(c.attack[row.i])) attacks.set(c.attack[row.i], []);
    attacks.get(c.attack[row.i]).push(number);
  }
  for (const blocks of found.values()) {
    for (const attacks of blocks.values()) {
      for (const [attack, numbers] of attacks) attacks.set(attack, average(numbers));
    }
  }
  return found;
}

function inner(map, key, Kind) {
  if (!map.has(key)) map.set(key, new Kind());
  return map.get(key);
}

const highest = (numbers) => numbers.reduce((a, b) => Math.max(a, b), -Infinity);

// Reduce each block over its attacks, then average over blocks; rule -> number.
function overBlocks(means, within) {
  return new Map([...means].map(([rule, blocks]) => [
    rule, average([...blocks.values()].map((attacks) => within([...attacks.values()]))),
  ]));
}

// The attack that is worst in most blocks; ties go to the lower accuracy, then to the alphabet.
function worstAttacks(data, means) {
  const found = new Map();
  for (const [rule, blocks] of means) {
    const tally = new Map();
    for (const attacks of blocks.values()) {
      const least = lowest([...attacks.values()]);
      for (const [attack, mean] of attacks) {
        if (mean <= least + SAME) inner(tally, attack, Array).push(mean);
      }
    }
    const order = [...tally].sort(([a, x], [b, y]) =>
      y.length - x.length || settled(average(x) - average(y)) || compared(data.attacks[a].name, data.attacks[b].name));
    found.set(rule, data.attacks[order[0][0]].name);
  }
  return found;
}

const absent = (value) => value === undefined || Number.isNaN(value);
const settled = (gap) => (Math.abs(gap) <= SAME ? 0 : gap);
const compared = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

// Plain averaging's clean accuracy minus the rule's, over the blocks both have.
function taxes(data, means) {
  const plain = means.get(data.plain), found = new Map();
  if (!plain) return found;
  for (const [rule, blocks] of means) {
    const gaps = [...blocks].filter(([block]) => plain.has(block))
      .map(([block, attacks]) => plain.get(block).get(data.clean) - attacks.get(data.clean));
    found.set(rule, average(gaps));
  }
  return found;
}

// The largest difference between plain averaging's clean accuracy and a rule's under an attack.
function greatestLosses(data, means, clean) {
  const plain = clean.get(data.plain) ?? new Map();
  return new Map([...means].map(([rule, blocks]) => {
    const gaps = [...blocks].filter(([block]) => plain.has(block))
      .flatMap(([block, attacks]) => [...attacks.values()].map((mean) => plain.get(block).get(data.clean) - mean));
    return [rule, gaps.length ? highest(gaps) : NaN];
  }));
}

// The mean of the middle half of all accuracies of each rule.
function middles(data, rows) {
  const found = new Map();
  for (const { i, accuracy } of rows) {
    if (!Number.isNaN(accuracy)) inner(found, data.cells.rule[i], Array).push(accuracy);
  }
  return new Map([...found].map(([rule, values]) => {
    const sorted = Float64Array.from(values).sort();
    return [rule, middleMean(sorted, new Float64Array(sorted.length).fill(1))];
  }));
}

// Rows under the attack none, at fractions at which there are attacks too if there are any.
function cleanRows(data, rows) {
  const all = rows.filter((row) => data.cells.attack[row.i] === data.clean);
  const some = all.filter((row) => data.malicious[data.cells.world[row.i]] > 0);
  return some.length ? some : all;
}

function regular(data, rows) {
  return rows.filter(({ i }) => data.cells.attack[i] !== data.clean && !data.attacks[data.cells.attack[i]].adaptive);
}

// All columns of the leaderboard that are plain means, one object a rule.
function columnsOf(data, cells, rows) {
  const attackOf = (row) => data.attacks[data.cells.attack[row.i]];
  const hurt = regular(data, rows), unhurt = cleanRows(data, rows);
  const adaptive = rows.filter((row) => attackOf(row).adaptive && data.cells.attack[row.i] !== data.clean);
  const backdoor = hurt.filter((row) => attackOf(row).category === "backdoor");
  const means = blockMeans(data, hurt, "accuracy"), clean = blockMeans(data, unhurt, "accuracy");
  const mean = (part, value) => overBlocks(blockMeans(data, part, value), average);
  const columns = {
    worst_accuracy: overBlocks(means, lowest),
    worst_attack: worstAttacks(data, means),
    worst_adaptive: overBlocks(blockMeans(data, adaptive, "accuracy"), lowest),
    mean_accuracy: overBlocks(means, average),
    iqm_accuracy: middles(data, hurt),
    clean_accuracy: overBlocks(clean, average),
    defence_tax: taxes(data, clean),
    max_accuracy_loss: greatestLosses(data, means, clean),
    attack_success: overBlocks(blockMeans(data, backdoor, "attack_success"), highest),
    tpr: mean(hurt, "tpr"), fpr: mean(hurt, "fpr"), clean_fpr: mean(unhurt, "fpr"),
    server_ms: mean(unhurt, "server_ms"), server_ms_attacked: mean(hurt, "server_ms"),
  };
  return [...new Set(cells.map(({ i }) => data.cells.rule[i]))].map((rule) => {
    const own = cells.filter(({ i }) => data.cells.rule[i] === rule);
    const row = { rule, aggregator: data.rules[rule].name, ...coverageOf(data, own) };
    for (const [name, values] of Object.entries(columns)) row[name] = absent(values.get(rule)) ? null : values.get(rule);
    const memory = highest(own.map(({ i }) => data.cells.peak_memory_mb[i]).filter((mb) => !Number.isNaN(mb)));
    row.peak_memory_mb = Number.isFinite(memory) ? memory : null;
    row.told = data.rules[rule].told.join(", ") || "nothing";
    return row;
  });
}

function coverageOf(data, own) {
  const c = data.cells, reasons = new Map();
  const infeasible = own.filter(({ i }) => c.infeasible[i]).length;
  const filled = own.filter((cell) => cell.filled).length;
  const done = own.filter(({ i }) => !Number.isNaN(c.accuracy[i])).length;
  for (const cell of own) {
    if (!Number.isNaN(c.accuracy[cell.i]) || cell.filled || cell.shared) continue;
    const status = at(c.status, cell.i);
    const said = ["done", "diverged"].includes(status) ? "without accuracy" : status;
    reasons.set(said, (reasons.get(said) ?? 0) + 1);
  }
  let coverage = `${done}/${own.length - infeasible}`;
  if (infeasible) coverage += `, ${infeasible} infeasible`;
  if (filled) coverage += `, ${filled} imputed`;
  const holes = [...reasons].sort(([a], [b]) => compared(a, b)).map(([said, n]) => `${n} ${said}`).join(", ");
  const diverged = own.filter(({ i }) => at(c.status, i) === "diverged").length;
  return { coverage, holes, diverged, imputed: filled };
}
