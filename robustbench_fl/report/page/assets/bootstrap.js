// Scores on resampled seeds, as robustbench_fl/analysis/estimators.py computes them: values[rule][attack]
// is an array over seeds, a weight is how often each seed was drawn.

const SAME = 1e-12;

function weighted(values, weights) {
  let total = 0, sum = 0;
  for (let s = 0; s < weights.length; s++) { total += values[s] * weights[s]; sum += weights[s]; }
  return total / sum;
}

function lowest(means) {
  let best = Infinity;
  for (const mean of means) if (mean < best) best = mean;
  return best === Infinity ? NaN : best;
}

function average(means) {
  let total = 0, count = 0;
  for (const mean of means) if (!Number.isNaN(mean)) { total += mean; count++; }
  return count ? total / count : NaN;
}

// reduce: lowest or average, over attacks; returns [rule][weight].
function plainScores(values, weights, reduce) {
  return values.map((rule) => Float64Array.from(weights, (w) => reduce(rule.map((seeds) => weighted(seeds, w)))));
}

// The worst case whose attack is picked on one half of the seeds and reported on the other.
function honestScores(values, weights, splits) {
  const found = values.map(() => new Float64Array(weights.length));
  weights.forEach((drawn, place) => {
    let valid = 0;
    const totals = new Float64Array(values.length);
    for (const split of splits) {
      const reporting = drawn.map((count, s) => count * (1 - split[s]));
      if (!reporting.some((count) => count > 0)) continue;
      let picking = drawn.map((count, s) => count * split[s]);
      if (!picking.some((count) => count > 0)) picking = split;
      valid++;
      values.forEach((rule, r) => { totals[r] += reported(rule, picking, reporting); });
    }
    totals.forEach((total, r) => { found[r][place] = total / valid; });
  });
  return found;
}

function reported(rule, picking, reporting) {
  const seen = rule.map((seeds) => weighted(seeds, picking));
  const worst = lowest(seen);
  let total = 0, count = 0;
  seen.forEach((mean, a) => {
    if (mean <= worst + SAME) { total += weighted(rule[a], reporting); count++; }
  });
  return total / count;
}

// Distinct weights, the seeds as they are first, and which of them each resample is.
function resamples(text, n) {
  const weights = [], which = [], places = new Map();
  const add = (row) => {
    if (!places.has(row)) {
      places.set(row, weights.length);
      weights.push(Array.from(row, (c) => c.charCodeAt(0) - 48));
    }
    which.push(places.get(row));
  };
  add("1".repeat(n));
  for (let i = 0; i < text.length; i += n) add(text.slice(i, i + n));
  return { weights, which };
}

// The percentile interval at 95 %, quantiles by linear interpolation; NaN if any sample is.
function interval(samples) {
  const sorted = Float64Array.from(samples).sort();
  if (Number.isNaN(sorted[sorted.length - 1])) return [NaN, NaN];
  return [0.025, 0.975].map((q) => {
    const place = q * (sorted.length - 1), low = Math.floor(place);
    const above = sorted[Math.min(low + 1, sorted.length - 1)];
    return sorted[low] + (above - sorted[low]) * (place - low);
  });
}

// The mean of the middle half of values in ascending order; one at its border counts with the share inside.
function middleMean(values, weights) {
  let total = 0;
  for (const weight of weights) total += weight;
  const low = total / 4, high = 3 * low;
  let before = low, upto = 0, sum = 0;
  for (let k = 0; k < values.length; k++) {
    upto += weights[k];
    const inside = Math.min(Math.max(upto, low), high);
    sum += (inside - before) * values[k];
    before = inside;
  }
  return sum / (total / 2);
}

// Between which ranks each row of samples ends in 95 % of the resamples; equal scores share the better rank.
function rankIntervals(samples) {
  if (!samples.length) return [];
  const ranks = samples.map((own) => own.map((value, place) =>
    1 + samples.filter((other) => other[place] > value + SAME / 2).length));
  return ranks.map((own) => {
    const sorted = own.sort();
    return [(1 - 0.95) / 2, (1 + 0.95) / 2].map((q) => sorted[Math.ceil(sorted.length * q - 1)]);
  });
}
