"""Scores of rules: block by block, then over blocks; resampled over seeds where there are several."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from robustbench_fl.analysis import bootstrap, estimators
from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.estimators import Array
from robustbench_fl.analysis.frame import settings
from robustbench_fl.analysis.ranking import EQUAL

_BLOCKWISE = {
    "worst_accuracy": estimators.worst,
    "mean_accuracy": estimators.mean,
    "worst_accuracy_honest": estimators.worst_honest,
}
_IQM = "iqm_accuracy"
Estimate = Callable[[Array, Array], Array]


def attacked(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows under an attack that is not adaptive."""
    return table[(table["attack"] != CLEAN) & ~table["adaptive"]]


def clean(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows under the attack ``none``, at the fractions at which there are attacks too.

    Without malicious clients a rule that trims by f trims nothing, so those rows would dilute what
    it costs. They are returned only where there are no others.
    """
    rows = table[table["attack"] == CLEAN]
    with_malicious = rows[rows["malicious"] > 0]
    return rows if with_malicious.empty else with_malicious


def block_means(table: pd.DataFrame, value: str = "accuracy") -> pd.DataFrame:
    """Return means over seeds: columns ``aggregator``, ``_block``, ``attack``, `value`; no NaN."""
    keys = ["aggregator", "_block", "attack"]
    means: pd.DataFrame = table.groupby(keys, sort=False)[value].mean().dropna().reset_index()
    return means


def over_blocks(means: pd.DataFrame, value: str, within: str) -> pd.Series:
    """Reduce each block by `within` (``"min"``, ``"mean"``, ``"max"``), then average over blocks."""
    return means.groupby(["aggregator", "_block"])[value].agg(within).groupby("aggregator").mean()


def worst_attacks(means: pd.DataFrame) -> pd.Series:
    """Return for each rule the attack that is worst in most blocks; ties go to the lower accuracy."""
    winners = _lowest(means)
    tally = winners.groupby(["aggregator", "attack"])["accuracy"].agg(["size", "mean"]).reset_index()
    tally = tally.sort_values(["aggregator", "size", "mean", "attack"], ascending=[True, False, True, True])
    return tally.drop_duplicates("aggregator").set_index("aggregator")["attack"]


def worst_pairs(blocks: pd.DataFrame) -> pd.DataFrame:
    """Return the attacks that are worst for each rule in each block; several where they are equal."""
    return _lowest(block_means(blocks))


def _lowest(means: pd.DataFrame) -> pd.DataFrame:
    lowest = means.groupby(["aggregator", "_block"])["accuracy"].transform("min")
    return means[means["accuracy"] <= lowest + EQUAL]


def interquartile_means(table: pd.DataFrame) -> pd.Series:
    """Return for each rule the mean of the middle half of its accuracies (a value a cell)."""
    known = table.dropna(subset=["accuracy"]).groupby("aggregator")["accuracy"]
    found = {
        rule: float(estimators.interquartile_mean(values.to_numpy(dtype=float), np.ones((1, len(values))))[0])
        for rule, values in known
    }
    return pd.Series(found, dtype=float)


@dataclass(frozen=True)
class Resampled:
    """Bootstrap distributions of the scores.

    Attributes
    ----------
    rules : list of str
        Rules, the first axis of every array.
    point : dict of str to array [n_rules]
        ``worst_accuracy``, ``mean_accuracy``, ``worst_accuracy_honest`` and ``iqm_accuracy`` on the
        seeds as they are.
    samples : dict of str to array [n_rules, n_resamples]
        The same on resampled seeds. All rules share the resamples, so that differences are paired.
    """

    rules: list[str]
    point: dict[str, Array]
    samples: dict[str, Array]

    def difference(self, score: str, first: str, second: str) -> tuple[float, float]:
        """Return the 95 % interval of first − second, paired over the worlds they both met."""
        values = self.samples[score]
        gap = values[self.rules.index(first)] - values[self.rules.index(second)]
        low, high = bootstrap.interval(gap)
        return float(low), float(high)


def resample(table: pd.DataFrame) -> Resampled | None:
    """Return the bootstrap of all rules in `table`, or None where it is not defined.

    Parameters
    ----------
    table : pandas.DataFrame
        Completed cells in blocks (:func:`robustbench_fl.analysis.blocks.in_blocks`).

    Returns
    -------
    Resampled or None
        None if some world has one seed only, or attacks that were run on different seeds. Seeds
        are resampled inside each world, all attacks and assumed f of a world together. A rule
        with a hole gets NaN.
    """
    rows = attacked(table)
    if rows.empty or not _rectangular(rows):
        return None
    rules = sorted(rows["aggregator"].unique())
    worlds = sorted((_world(cells, rules) for _, cells in rows.groupby("_world")), key=lambda w: w.name)

    names = [*_BLOCKWISE, _IQM]
    samples = _scores(worlds, [bootstrap.draws(world.n_seeds, world.name) for world in worlds])
    point = _scores(worlds, [np.ones((1, world.n_seeds)) for world in worlds])[..., 0]
    holes = [rules.index(rule) for rule in _with_holes(rows)]
    samples[:, holes] = np.nan
    point[:, holes] = np.nan
    return Resampled(rules, dict(zip(names, point, strict=True)), dict(zip(names, samples, strict=True)))


@dataclass(frozen=True)
class _World:
    """Accuracies of one world: a list of blocks [n_rules, n_attacks, n_seeds], NaN where infeasible."""

    name: str
    n_seeds: int
    blocks: list[Array]


def _world(cells: pd.DataFrame, rules: list[str]) -> _World:
    seeds = sorted(cells["seed"].unique())
    # Blocks of one world differ in the assumed f alone.
    blocks = [_dense(block, rules, seeds) for _, block in cells.groupby("_block")]
    return _World(_named(cells), len(seeds), blocks)


def draws(cells: pd.DataFrame, n_seeds: int) -> Array:
    """Return how often each of `n_seeds` seeds is drawn in each resample of the world of `cells`.

    Shape [n_resamples, n_seeds]. They depend on the world's settings and on nothing else, so that a
    subset of the worlds has the resamples it has in the whole.
    """
    return bootstrap.draws(n_seeds, _named(cells))


def _named(cells: pd.DataFrame) -> str:
    """Return the settings of a world as text: its number would depend on the order of the cells."""
    values = cells.iloc[0][sorted(settings(cells))]
    # A number is read as int or as float depending on the other worlds of the frame.
    return json.dumps({k: _plain(v) for k, v in values.items() if pd.notna(v)}, default=str)


def _plain(value: object) -> object:
    return float(value) if isinstance(value, int | float | np.number) else value


def _scores(worlds: list[_World], weights: list[Array]) -> Array:
    """Return all scores, [n_scores, n_rules, n_resamples], for weights of the seeds of each world."""
    means = [_block_averages(worlds, weights, estimate) for estimate in _BLOCKWISE.values()]
    return np.stack([*means, _middle(worlds, weights)])


def _block_averages(worlds: list[_World], weights: list[Array], estimate: Estimate) -> Array:
    """Return the mean over blocks; the blocks a rule was infeasible in are skipped."""
    total, count = np.zeros(()), np.zeros(())
    for world, times in zip(worlds, weights, strict=True):
        vectors, which = bootstrap.distinct(times)
        for block in world.blocks:
            values = estimate(block, vectors)[:, which]
            known = ~np.isnan(values).any(axis=1, keepdims=True)
            total = total + np.where(known, values, 0)
            count = count + known
    averages: Array = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return averages


def _middle(worlds: list[_World], weights: list[Array]) -> Array:
    """Return the interquartile means over the cells of all blocks, [n_rules, n_resamples]."""
    pairs = [(block, times) for world, times in zip(worlds, weights, strict=True) for block in world.blocks]
    values = np.concatenate([block.reshape(len(block), -1) for block, _ in pairs], axis=1)
    drawn = np.concatenate([np.tile(times, (1, block.shape[1])) for block, times in pairs], axis=1)
    found = np.full((len(values), len(drawn)), np.nan)
    for rule, row in enumerate(values):
        if (known := ~np.isnan(row)).any():
            found[rule] = estimators.interquartile_mean(row[known], drawn[:, known])
    return found


def _rectangular(rows: pd.DataFrame) -> bool:
    """Whether each world has at least two seeds, the same for all its attacks."""
    seeds = rows.groupby("_world")["seed"].nunique()
    each = rows.groupby(["_world", "attack"])["seed"].nunique()
    return bool((seeds > 1).all() and (each == seeds.reindex(each.index, level="_world")).all())


def _dense(block: pd.DataFrame, rules: list[str], seeds: list[int]) -> Array:
    attacks = sorted(block["attack"].unique())
    axes = (("aggregator", rules), ("attack", attacks), ("seed", seeds))
    places = tuple(pd.Index(values).get_indexer(block[name]) for name, values in axes)
    dense: Array = np.full((len(rules), len(attacks), len(seeds)), np.nan)
    dense[places] = block["accuracy"].to_numpy(dtype=float)
    return dense


def _with_holes(rows: pd.DataFrame) -> list[str]:
    return list(rows[rows["accuracy"].isna() & (rows["status"] != "infeasible")]["aggregator"].unique())
