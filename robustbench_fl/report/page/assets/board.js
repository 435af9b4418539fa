// Resampling a choice of cells, and ranks with ties.

const BLOCKWISE = ["worst_accuracy", "mean_accuracy", "worst_accuracy_honest"];
const INTERVALS = { worst_accuracy: "worst", mean_accuracy: "mean", worst_accuracy_honest: "honest", iqm_accuracy: "iqm" };

// The bootstrap of every rule, or null where a world has one seed, or attacks with different seeds.
function resampledScores(data, rows) {
  const c = data.cells, hurt = regular(data, rows), worlds = new Map();
  for (const row of hurt) inner(worlds, c.world[row.i], Array).push(row);
  if (!worlds.size || ![...worlds.values()].every((part) => rectangular(c, part))) return null;
  const rules = [...new Set(hurt.map(({ i }) => c.rule[i]))];
  const totals = {}, drawn = new Map();
  for (const name of BLOCKWISE) totals[name] = rules.map(() => ({ sum: null, count: 0 }));
  for (const [world, part] of worlds) drawn.set(world, addWorld(data, world, part, rules, totals));
  const holes = new Set(hurt.filter(({ i, accuracy }) => Number.isNaN(accuracy) && !c.infeasible[i]).map(({ i }) => c.rule[i]));
  const found = { rules, point: {}, samples: {} };
  for (const [name, of] of Object.entries(totals)) {
    const all = of.map(({ sum, count }, r) =>
      count && !holes.has(rules[r]) ? sum.map((value) => value / count) : new Float64Array(1001).fill(NaN));
    found.point[name] = all.map((values) => values[0]);
    found.samples[name] = all.map((values) => values.subarray(1));
  }
  found.samples.iqm_accuracy = rules.map((rule) =>
    holes.has(rule) ? new Float64Array(1000).fill(NaN) : drawnMiddles(c, hurt.filter(({ i }) => c.rule[i] === rule), drawn));
  return found.point.worst_accuracy_honest.every(Number.isNaN) ? null : found; // hardly anything is finished
}

// The interquartile mean of one rule's rows on every resample; drawn: world -> {seeds, weights, which}.
function drawnMiddles(c, rows, drawn) {
  const known = rows.filter(({ accuracy }) => !Number.isNaN(accuracy)).sort((a, b) => a.accuracy - b.accuracy);
  const values = known.map(({ accuracy }) => accuracy);
  const places = known.map(({ i }) => {
    const world = drawn.get(c.world[i]);
    return { ...world, seed: world.seeds.indexOf(c.seed[i]) };
  });
  return Float64Array.from({ length: 1000 }, (_, k) => values.length
    ? middleMean(values, places.map(({ weights, which, seed }) => weights[which[k + 1]][seed])) : NaN);
}

function rectangular(c, part) {
  const seeds = new Set(part.map(({ i }) => c.seed[i])), each = new Map();
  for (const { i } of part) inner(each, c.attack[i], Set).add(c.seed[i]);
  return seeds.size > 1 && [...each.values()].every((own) => own.size === seeds.size);
}

function addWorld(data, world, part, rules, totals) {
  const seeds = [...new Set(part.map(({ i }) => data.cells.seed[i]))].sort((a, b) => a - b);
  const { weights, which } = resamples(data.draws[`${world}:${seeds.length}`], seeds.length);
  const blocks = new Map();
  for (const row of part) inner(blocks, row.block, Array).push(row);
  for (const block of blocks.values()) {
    const values = dense(data.cells, block, rules, seeds);
    const found = {
      worst_accuracy: plainScores(values, weights, lowest),
      mean_accuracy: plainScores(values, weights, average),
      worst_accuracy_honest: honestScores(values, weights, data.halves[seeds.length]),
    };
    for (const [name, scores] of Object.entries(found)) {
      scores.forEach((score, r) => addScore(totals[name][r], which.map((place) => score[place])));
    }
  }
  return { seeds, weights, which };
}

// Blocks in which a rule was infeasible are skipped.
function addScore(total, values) {
  total.sum ??= new Float64Array(values.length);
  values.forEach((value, place) => { if (!Number.isNaN(value)) total.sum[place] += value; });
  if (!values.some(Number.isNaN)) total.count++;
}

function dense(c, block, rules, seeds) {
  const attacks = [...new Set(block.map(({ i }) => c.attack[i]))];
  const values = rules.map(() => attacks.map(() => new Float64Array(seeds.length).fill(NaN)));
  for (const { i, accuracy } of block) {
    values[rules.indexOf(c.rule[i])][attacks.indexOf(c.attack[i])][seeds.indexOf(c.seed[i])] = accuracy;
  }
  return values;
}

// The leaderboard of a choice; `told` says which rules are compared: {rows, score}.
function boardOf(data, choice, told) {
  const cells = chosenCells(data, choice), rows = inBlocks(data, cells);
  const table = columnsOf(data, cells, rows), drawn = resampledScores(data, rows);
  const score = drawn ? "worst_accuracy_honest" : "worst_accuracy";
  for (const row of table) {
    if (drawn) addIntervals(row, drawn);
    row.note = noteOf(data, row, score);
  }
  const shown = table.filter((row) => told(data.rules[row.rule]));
  rank(shown, score, drawn);
  return { rows: inOrder(shown, score), score, cells, blocks: new Set(rows.map((row) => row.block)).size };
}

function addIntervals(row, drawn) {
  const r = drawn.rules.indexOf(row.rule);
  row.worst_accuracy_honest = r < 0 ? null : known(drawn.point.worst_accuracy_honest[r]);
  for (const [score, short] of Object.entries(INTERVALS)) {
    const [low, high] = r < 0 ? [NaN, NaN] : interval(drawn.samples[score][r]);
    row[`${short}_low`] = known(low);
    row[`${short}_high`] = known(high);
  }
}

const known = (value) => (Number.isNaN(value) ? null : value);

function noteOf(data, row, score) {
  const notes = data.rules[row.rule].ranked ? [] : ["baseline"];
  if (row.holes) notes.push(row.holes);
  else if ((row[score] ?? null) === null) notes.push("no attacked cell");
  return notes.join("; ");
}

// Members of a tie group share the place of its leader; the next group counts on.
function rank(table, score, drawn) {
  const order = table.filter((row) => !row.note)
    .sort((a, b) => b[score] - a[score] || compared(a.aggregator, b.aggregator));
  let leader = null;
  order.forEach((row, place) => {
    if (leader && tiedTo(leader, row, score, drawn)) row.rank = leader.rank;
    else { leader = row; row.rank = place + 1; }
  });
  if (drawn) {
    const found = rankIntervals(order.map(({ rule }) => drawn.samples[score][drawn.rules.indexOf(rule)]));
    order.forEach((row, place) => { [row.rank_low, row.rank_high] = found[place]; });
  }
  for (const row of table) {
    row.rank ??= null;
    row.tied = row.rank !== null && order.filter((other) => other.rank === row.rank).length > 1;
  }
}

// With one seed equal scores only; else the paired 95 % interval of the difference includes 0.
function tiedTo(leader, row, score, drawn) {
  if (!drawn) return Math.abs(leader[score] - row[score]) <= SAME;
  const [first, second] = [leader, row].map(({ rule }) => drawn.samples[score][drawn.rules.indexOf(rule)]);
  const [low, high] = interval(first.map((value, place) => value - second[place]));
  return low <= 0 && 0 <= high;
}

// By score; rules that could not be ranked for lack of cells come last.
function inOrder(table, score) {
  const holes = (row) => row.rank === null && row.note !== "baseline";
  const by = (row) => row[score] ?? row.worst_accuracy ?? -1;
  const clean = (row) => row.clean_accuracy ?? -1;
  return [...table].sort((a, b) => holes(a) - holes(b) || by(b) - by(a) || clean(b) - clean(a)
    || compared(a.aggregator, b.aggregator));
}
