"""The definitions of analysis/inference.py in loops, sharing no code with it, and that both agree."""

from itertools import combinations
from math import isnan, sqrt
from statistics import fmean, stdev, variance

import numpy as np
import pytest
from scipy import optimize, special, stats

from robustbench_fl.analysis import inference
from robustbench_fl.analysis.image_noise import with_images


def present(world):
    """Return the places of the attacks that are there in `world`, [attacks][seeds]."""
    return [a for a, seeds in enumerate(world) if not isnan(seeds[0])]


def lowest(world, attacks, seeds):
    return min(attacks, key=lambda a: (round(fmean(world[a][s] for s in seeds), 9), a))


def fixed(rule, allowed, n):
    """Return P, one value a seed; `allowed` lists the attacks of each world."""
    worlds = [w for w in range(len(rule)) if allowed[w]]
    picks = {w: lowest(rule[w], allowed[w], range(n)) for w in worlds}
    return [fmean(rule[w][picks[w]][s] for w in worlds) for s in range(n)]


def left_out(rule, allowed, n):
    """Return L, one value a seed."""
    worlds = [w for w in range(len(rule)) if allowed[w]]
    found = []
    for s in range(n):
        others = [o for o in range(n) if o != s]
        found.append(fmean(rule[w][lowest(rule[w], allowed[w], others)][s] for w in worlds))
    return found


def mean_interval(rule, level):
    n = len(rule[0][0])
    worlds = [world for world in rule if present(world)]
    by_seed = [fmean(fmean(w[a][s] for a in present(w)) for w in worlds) for s in range(n)]
    half = stats.t.ppf((1 + level) / 2, n - 1) * stdev(by_seed) / sqrt(n)
    return fmean(by_seed), fmean(by_seed) - half, fmean(by_seed) + half


def worst_interval(rule, level):
    n = len(rule[0][0])
    allowed = [present(world) for world in rule]
    p, other = fixed(rule, allowed, n), left_out(rule, allowed, n)
    t = stats.t.ppf((1 + level) / 2, n - 1) / sqrt(n)
    return fmean(p), fmean(p) - t * stdev(p), fmean(other) + t * max(stdev(p), stdev(other))


def prior(variances, df):
    """Smyth's Section 6.2, written out."""
    e = [np.log(v) - special.digamma(df / 2) + np.log(df / 2) for v in variances]
    excess = variance(e) - special.polygamma(1, df / 2)
    if excess <= 0:
        return float("inf"), np.exp(fmean(e))
    half = optimize.brentq(lambda x: special.polygamma(1, x) - excess, 1e-6, 1e9, xtol=1e-14)
    return 2 * half, np.exp(fmean(e) + special.digamma(half) - np.log(half))


def worst_table(rule, correct, allowed, n):
    """Return correctness [seeds][images] at the worst attack of each world, averaged over worlds."""
    worlds = [w for w in range(len(rule)) if allowed[w]]
    picked = [correct[w][lowest(rule[w], allowed[w], range(n))] for w in worlds]
    return [[fmean(cells) for cells in zip(*rows, strict=True)] for rows in zip(*picked, strict=True)]


def pairwise(values, level, correct=None):
    rules, n = len(values), len(values[0][0][0])
    matrix = [[float("nan")] * rules for _ in range(rules)]
    leads, tables = {}, {}
    for r, s in combinations(range(rules), 2):
        worlds = zip(values[r], values[s], strict=True)
        allowed = [[a for a in present(one) if a in present(two)] for one, two in worlds]
        if any(allowed):
            for x, y in ((r, s), (s, r)):
                p, other = fixed(values[x], allowed, n), left_out(values[y], allowed, n)
                leads[x, y] = [first - second for first, second in zip(p, other, strict=True)]
                if correct is not None:
                    own, its = (worst_table(values[i], correct[i], allowed, n) for i in (x, y))
                    tables[x, y] = [
                        [a - b for a, b in zip(*rows, strict=True)] for rows in zip(own, its, strict=True)
                    ]
    for rule in range(rules):
        matrix[rule][rule] = 0.0
    spreads = {pair: variance(lead) for pair, lead in leads.items()}
    spread = {pair for pair, v in spreads.items() if v > 1e-24}
    df, before, scale = n - 1, 0.0, 0.0
    if len({tuple(sorted(pair)) for pair in spread}) >= 3:
        before, scale = prior([spreads[pair] for pair in leads if pair in spread], n - 1)
        df = min(n - 1 + before, (len({r for pair in leads for r in pair}) - 1) * (n - 1))
    tests = []
    for r, s in leads:
        if r < s:
            found = []
            for pair in ((r, s), (s, r)):
                own = spreads[pair]
                v = scale if before == float("inf") else (before * scale + (n - 1) * own) / (before + n - 1)
                mean = fmean(leads[pair])
                ways = [(v / n, df)] + ([widened(v / n, df, tables[pair])] if tables else [])
                ps = [2 * stats.t.sf(mean / sqrt(max(w, 1e-40)), free) for w, free in ways]
                found.append(1.0 if mean <= 1e-12 else max(ps))
            tests.append((min(found), r, s, 1.0 if found[0] < found[1] else -1.0))
            matrix[r][s] = matrix[s][r] = 0.0
    for rank, (p, r, s, sign) in enumerate(sorted(tests)):
        if p > (1 - level) / (len(tests) - rank):
            break
        matrix[r][s], matrix[s][r] = sign, -sign
    return matrix


def widened(variance_of_mean, df, correct):
    """Return variance and degrees of freedom with those of the images of a table [seeds][images] added."""
    n, t = len(correct), len(correct[0])
    grand = fmean(map(fmean, correct))
    seeds = [fmean(row) for row in correct]
    images = [fmean(row[i] for row in correct) for i in range(t)]
    ms_seed = n * t * variance_of_mean
    ms_image = n * sum((x - grand) ** 2 for x in images) / (t - 1)
    rest = [(correct[s][i] - seeds[s] - images[i] + grand) ** 2 for s in range(n) for i in range(t)]
    ms_rest = sum(rest) / ((n - 1) * (t - 1))
    total = ms_seed + ms_image - ms_rest
    if total <= ms_seed:
        return variance_of_mean, df
    parts = ms_seed**2 / df + ms_image**2 / (t - 1) + ms_rest**2 / ((n - 1) * (t - 1))
    return total / (n * t), total**2 / parts


def values_of(rules, worlds, attacks, seeds, number, absent=0.0):
    rng = np.random.default_rng(number)
    level = rng.uniform(0.3, 0.9, (rules, 1, 1, 1)) + rng.normal(0, 0.05, (rules, worlds, attacks, 1))
    values = level + rng.normal(0, 0.03, (rules, worlds, attacks, seeds))
    values[rng.random(values.shape[:3]) < absent] = np.nan
    return values


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize(("worlds", "attacks", "seeds"), [(1, 1, 2), (1, 4, 3), (3, 2, 5), (4, 6, 4)])
def test_intervals_and_pairs(number, worlds, attacks, seeds):
    values = values_of(5, worlds, attacks, seeds, number, absent=0.15)
    for rule in values:
        if not np.isnan(rule).all():
            assert inference.mean_interval(rule, 0.9) == pytest.approx(mean_interval(rule.tolist(), 0.9))
            assert inference.worst_interval(rule, 0.9) == pytest.approx(worst_interval(rule.tolist(), 0.9))
    for level in (0.95, 0.5, 0.2):
        np.testing.assert_array_equal(inference.pairwise(values, level), pairwise(values.tolist(), level))


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(("seeds", "images", "hard"), [(2, 2, 0.5), (5, 40, 0.5), (3, 30, 0.0)])
def test_variance_over_images(number, seeds, images, hard):
    rng = np.random.default_rng(number)
    correct = rng.random((seeds, images)) * (1 - hard) + hard * rng.random(images)
    by_seed = correct.mean(axis=1).var(ddof=1) / seeds
    found = with_images(by_seed, seeds - 1, [(1.0, correct)])
    assert found == pytest.approx(widened(by_seed, seeds - 1, correct.tolist()))


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("rules", [2, 4])
def test_pairs_with_images(number, rules):
    rng = np.random.default_rng(number)
    hard = rng.normal(0, 1, (rules, 1, 1, 1, 25)) + rng.normal(0, 0.2, (rules, 2, 2, 3, 1))
    correct = (hard + rng.normal(0, 1, (rules, 2, 2, 3, 25)) > 0).astype(float)
    values = correct.mean(axis=-1)
    for level in (0.95, 0.8, 0.6, 0.4, 0.2):
        found = inference.pairwise(values, level, image_correct=correct)
        np.testing.assert_array_equal(found, pairwise(values.tolist(), level, correct.tolist()))
