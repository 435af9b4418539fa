"""Intervals, scores and tests of analysis/inference.py where the truth is known, beside what was used before.

Run ``python benchmarks/inference.py``: some minutes. ``--sweep DIR`` takes means and residual covariance
from another finished sweep; ``--tables`` and ``--old-tables`` say how many tables are drawn for each number
of seeds. Prints Markdown tables.

The truth is the mean over seeds of every cell. A table is drawn by adding Gaussian noise with the residual
covariance over all cells of a seed: their standard deviations, and their correlation matrix shrunk to the
identity by Ledoit and Wolf, since five seeds alone give a matrix of rank four.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import resampling
from numpy.typing import NDArray
from scipy.stats import norm

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.inference import mean_difference, mean_interval, pairwise, worst_interval
from robustbench_fl.analysis.picks import left_out_worst_by_seed
from robustbench_fl.store import Store

ROOT = Path(__file__).resolve().parent.parent
RESAMPLES = 1000
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Gaussian noise of all cells of a seed.

    Attributes
    ----------
    spread : array of shape [n_rules, n_worlds, n_attacks]
        Standard deviations over seeds.
    common : array of shape [n_seeds_seen, n_cells]
        Standardised residuals.
    own : float
        Share of the identity in the correlation matrix.
    """

    spread: Array
    common: Array
    own: float

    def draw(self, rng: np.random.Generator, n_seeds: int) -> Array:
        """Return noise [n_rules, n_worlds, n_attacks, n_seeds]."""
        seen = len(self.common)
        shared = rng.standard_normal((n_seeds, seen)) @ self.common / np.sqrt(seen - 1)
        alone = rng.standard_normal((n_seeds, self.spread.size))
        unit = np.sqrt(1 - self.own) * shared + np.sqrt(self.own) * alone
        return np.moveaxis(unit.reshape(n_seeds, *self.spread.shape), 0, -1) * self.spread[..., None]


@dataclass(frozen=True)
class Found:
    """What one table says.

    Attributes
    ----------
    mean, worst : array of shape [n_rules, 3]
        Estimates with both ends of their intervals.
    other : array of shape [n_rules, 1 or 3]
        Worst case by leave-one-seed-out, or by split halves with an interval.
    pairs : array of shape [n_rules, n_rules]
        Which rules are called better (1) or worse (-1) than which.
    """

    mean: Array
    worst: Array
    other: Array
    pairs: Array


def now(table: Array, _: np.random.Generator) -> Found:
    """Analyse a table [rules, worlds, attacks, seeds]."""
    means = np.array([mean_interval(rule) for rule in table])
    worst = np.array([worst_interval(rule) for rule in table])
    other = np.array([left_out_worst_by_seed(rule).mean() for rule in table])
    return Found(means, worst, other[:, None], pairwise(table))


def before(table: Array, rng: np.random.Generator) -> Found:
    """Analyse a table as it was done before: pairs by the split-half worst case."""
    n_rules, n_worlds, _, n = table.shape
    point = resampling.scores(table, np.ones((n_worlds, 1, n)))
    drawn = resampling.scores(table, resampling.draws(rng, n_worlds, RESAMPLES, n))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=-1)
    pairs = np.zeros((n_rules, n_rules))
    for r, s in combinations(range(n_rules), 2):
        ends = np.quantile(drawn[2, r] - drawn[2, s], [0.025, 0.975])
        pairs[r, s] = 1 if ends[0] > 0 else -1 if ends[1] < 0 else 0
    mean, worst, split = np.stack([point[..., 0], low, high], axis=-1)
    return Found(mean, worst, split, pairs - pairs.T)


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweep", type=Path, default=ROOT / "results" / "reference-digits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 10, 20])
    parser.add_argument("--tables", type=int, default=1000)
    parser.add_argument("--old-tables", type=int, default=200)
    options = parser.parse_args()
    values = accuracies(options.sweep)
    noise = noise_of(values)
    rules, worlds, attacks, seeds = values.shape
    print(
        f"Means and residuals of {options.sweep.name}: {rules} rules, {worlds} worlds, {attacks} attacks, "
        f"{seeds} seeds; {noise.own:.2f} of the correlation matrix is the identity. For each number of seeds "
        f"{options.tables} tables, {options.old_tables} for what was used before (marked *)."
    )
    started = time.process_time()
    truth = values.mean(axis=-1)
    rules_that_differ(truth, noise, options)
    equal_rules(truth, noise, options)
    tied_attacks(options)
    shared_images(options)
    differences_of_means(truth, noise, options)
    print(f"\n{time.process_time() - started:.0f} s of processor time.")


def accuracies(folder: Path) -> Array:
    """Return [rules, worlds, attacks, seeds] of the ranked rules under attacks that are not adaptive."""
    cells = frame(Store.existing(folder).summaries())
    cells = cells[cells["ranked"] & ~cells["adaptive"] & (cells["attack"] != "none")]
    worlds = ["dataset", "partition", "malicious"]
    wide = cells.pivot(index="aggregator", columns=[*worlds, "attack", "seed"], values="accuracy")
    wide = wide.dropna().sort_index(axis=1)
    sizes = [len(cells[worlds].drop_duplicates()), cells["attack"].nunique(), cells["seed"].nunique()]
    return wide.to_numpy().reshape(len(wide), *sizes)


def noise_of(values: Array) -> Noise:
    """Return the residual covariance of `values` [rules, worlds, attacks, seeds]."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    spread = values.std(axis=-1, ddof=1)
    unit = (values - values.mean(axis=-1, keepdims=True)) / np.maximum(spread, 1e-12)[..., None]
    common = unit.reshape(-1, values.shape[-1]).T
    return Noise(spread, common, float(ledoit_wolf_shrinkage(common, assume_centered=True)))


def analysed(
    analyse: Callable[[Array, np.random.Generator], Found], truth: Array, noise: Noise, n: int, tables: int
) -> list[Found]:
    """Return what `tables` tables of `n` seeds say."""
    rng = np.random.default_rng([n, tables])
    return [analyse(truth[..., None] + noise.draw(rng, n), rng) for _ in range(tables)]


def rules_that_differ(truth: Array, noise: Noise, options: argparse.Namespace) -> None:
    """Print coverage, bias, error, power and wrong directions where the rules are as they were seen to be."""
    mean, worst = truth.mean(axis=(1, 2)), truth.min(axis=2).mean(axis=1)
    right = np.sign(worst[:, None] - worst)
    coverage, errors, pairs = [], [], []
    for n in options.seeds:
        new = analysed(now, truth, noise, n, options.tables)
        old = analysed(before, truth, noise, n, options.old_tables)
        coverage.append(
            [
                n,
                _covered(new, "mean", mean),
                _covered(new, "worst", worst),
                _covered(old, "mean", mean),
                _covered(old, "worst", worst),
                _covered(old, "other", worst),
            ]
        )
        errors.append(
            [n, _error(new, "worst", worst), _error(new, "other", worst), _error(old, "other", worst)]
        )
        pairs.append([n, *_told_apart(new, right), *_told_apart(old, right)])
    _print(
        "Coverage of 95 % intervals, all rules together (the least covered rule)",
        ["mean", "worst case", "mean*", "worst case*", "split-half worst case*"],
        coverage,
    )
    _print(
        "Bias of the score in points, mean over rules (the largest of a rule), and root mean squared error",
        ["plain minimum", "leave-one-seed-out", "split-half*"],
        errors,
    )
    count = int((np.triu(right) != 0).sum())
    _print(
        f"Pairs called different of {count} that are, and tables with a pair in the wrong direction",
        ["pairs found", "tables wrong", "pairs found*", "tables wrong*"],
        pairs,
    )


def equal_rules(truth: Array, noise: Noise, options: argparse.Namespace) -> None:
    """Print the share of tables with any pair called different where all rules are equal."""
    middle = np.argsort(truth.min(axis=2).mean(axis=1))[len(truth) // 2]
    same = np.broadcast_to(truth[middle], truth.shape)
    alike = Noise(np.broadcast_to(noise.spread[middle], truth.shape), noise.common, noise.own)
    tied = np.full((*truth.shape[:2], 8), 0.5)
    tied[1::2, :, 2:] += 0.3
    eight = Noise(
        noise.spread[..., :8],
        noise.common.reshape(-1, *truth.shape)[..., :8].reshape(len(noise.common), -1),
        noise.own,
    )
    cases = ((same, alike), (same, noise), (tied, eight))
    rows = []
    for n in options.seeds:
        row: list[object] = [n]
        for kind, tables in ((now, options.tables), (before, options.old_tables)):
            row += [_any(analysed(kind, means, spread, n, tables)) for means, spread in cases]
        rows.append(row)
    names = ["identical", "equal, spreads differ", "8 tied or 2 tied + 6 dominated"]
    _print(
        "Tables with any pair called different though all rules are equal",
        [*names, *(f"{name}*" for name in names)],
        rows,
    )


def tied_attacks(options: argparse.Namespace, n_attacks: int = 10) -> None:
    """Print how often the interval of the worst case misses where all attacks are exactly equal."""
    rows = []
    for n in options.seeds:
        row: list[object] = [n]
        for n_worlds in (1, 4):
            rng = np.random.default_rng([3, n, n_worlds])
            tables = 0.03 * rng.standard_normal((options.tables, n_worlds, n_attacks, n))
            ends = np.array([worst_interval(table)[1:] for table in tables])
            row += [_percent((ends[:, 0] > 0).mean()), _percent((ends[:, 1] < 0).mean())]
        rows.append(row)
    _print(
        f"{n_attacks} attacks that are exactly equal: how often the interval of the worst case misses",
        ["lower end, 1 world", "upper end, 1 world", "lower end, 4 worlds", "upper end, 4 worlds"],
        rows,
    )


def shared_images(options: argparse.Namespace, n_images: int = 359) -> None:
    """Print coverage and false differences where all seeds share test images, some harder than others."""
    rows = []
    true = norm.cdf(0.8 / np.sqrt(2**2 + 1 + 0.2**2))
    for n in options.seeds:
        rng = np.random.default_rng([2, n])
        hits, wrong = [], []
        for _ in range(options.tables):
            correct = _simulated_images(rng, n, n_images)
            values = correct.mean(axis=-1)
            for images in (None, correct):
                ends = mean_interval(values[0], image_correct=None if images is None else images[0])
                hits.append(ends[1] <= true <= ends[2])
                wrong.append((pairwise(values, image_correct=images) != 0).any())
        rows.append([n, *(_percent(np.mean(part[i::2])) for part in (hits, wrong) for i in (1, 0))])
    _print(
        f"{n_images} test images shared by all seeds, four equal rules: coverage of the mean, and tables "
        "with any pair called different, with and without the variance over images",
        ["covered", "without", "tables wrong", "without"],
        rows,
    )


def differences_of_means(
    truth: Array, noise: Noise, options: argparse.Namespace, n_images: int = 359
) -> None:
    """Print how often the interval of a difference of two means covers it."""
    rows = []
    mean = truth.mean(axis=(1, 2))
    for n in options.seeds:
        rng = np.random.default_rng([4, n])
        hits, alike = [], []
        for _ in range(options.tables):
            table = truth[..., None] + noise.draw(rng, n)
            ends = np.array([mean_difference(table[[rule, 0]]) for rule in range(1, len(table))])
            hits.append(np.abs(mean[1:] - mean[0] - ends[:, 0]) <= ends[:, 2] - ends[:, 0])
            correct = _simulated_images(rng, n, n_images)[:2]
            for images in (correct, None):
                _, low, high = mean_difference(correct.mean(axis=-1), image_correct=images)
                alike.append(low <= 0 <= high)
        covered = np.mean(hits, axis=0)
        of_images = [_percent(np.mean(alike[i::2])) for i in (0, 1)]
        rows.append([n, f"{_percent(covered.mean())} ({_percent(covered.min())})", *of_images])
    _print(
        "Coverage of the difference of two means: each rule beside the first, all together (the least "
        f"covered); and of two equal rules on {n_images} shared test images, with and without their variance",
        ["covered", "images", "without"],
        rows,
    )


def _simulated_images(rng: np.random.Generator, n_seeds: int, n_images: int) -> Array:
    """Return correctness [4 rules, 1 world, 1 attack, seeds, images]; some images are hard for all rules."""
    hard = rng.normal(0, np.sqrt(2), n_images) + rng.normal(0, np.sqrt(2), (4, 1, 1, 1, n_images))
    seed = rng.normal(0, 0.2, (4, 1, 1, n_seeds, 1))
    score = 0.8 - hard + seed + rng.normal(0, 1, (4, 1, 1, n_seeds, n_images))
    correct: Array = (score > 0).astype(float)
    return correct


def _covered(found: list[Found], name: str, true: Array) -> str:
    ends = np.array([getattr(one, name) for one in found])
    hits = ((ends[..., 1] <= true) & (true <= ends[..., 2])).mean(axis=0)
    return f"{_percent(hits.mean())} ({_percent(hits.min())})"


def _error(found: list[Found], name: str, true: Array) -> str:
    gaps = 100 * (np.array([getattr(one, name)[:, 0] for one in found]) - true)
    bias = gaps.mean(axis=0)
    return f"{bias.mean():+.2f} ({bias[np.abs(bias).argmax()]:+.1f}), {np.sqrt((gaps**2).mean()):.2f}"


def _told_apart(found: list[Found], right: Array) -> tuple[str, str]:
    upper = np.triu_indices(len(right), 1)
    products = np.array([one.pairs[upper] for one in found]) * right[upper]
    return f"{(products > 0).sum(axis=1).mean():.0f}", _percent((products < 0).any(axis=1).mean())


def _any(found: list[Found]) -> str:
    return _percent(np.mean([(one.pairs != 0).any() for one in found]))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _print(title: str, names: list[str], rows: list[list[object]]) -> None:
    print(f"\n{title}:\n")
    print(f"| seeds | {' | '.join(names)} |\n|--:|{'--:|' * len(names)}")
    print("\n".join(f"| {' | '.join(map(str, row))} |" for row in rows), flush=True)


if __name__ == "__main__":
    main()
