"""Scores of rules: block by block, then over blocks; resampled over seeds where there are several."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from robustbench_fl.analysis import bootstrap
from robustbench_fl.analysis.bootstrap import Array
from robustbench_fl.analysis.frame import settings
from robustbench_fl.analysis.grid import CLEAN
from robustbench_fl.seeding import stream

_SCORES = {"worst_accuracy": bootstrap.worst, "mean_accuracy": bootstrap.mean}


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
    lowest = means.groupby(["aggregator", "_block"])["accuracy"].transform("min")
    winners = means[means["accuracy"] == lowest]
    tally = winners.groupby(["aggregator", "attack"])["accuracy"].agg(["size", "mean"]).reset_index()
    tally = tally.sort_values(["aggregator", "size", "mean", "attack"], ascending=[True, False, True, True])
    return tally.drop_duplicates("aggregator").set_index("aggregator")["attack"]


@dataclass(frozen=True)
class Resampled:
    """Bootstrap distributions of the scores.

    Attributes
    ----------
    rules : list of str
        Rules, the first axis of every array.
    point : dict of str to array [n_rules]
        ``worst_accuracy``, ``mean_accuracy`` and ``worst_accuracy_honest`` on the seeds as they are.
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
        Completed cells in blocks (:func:`robustbench_fl.analysis.grid.in_blocks`).

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
    totals = {name: _Average(len(rules)) for name in (*_SCORES, "worst_accuracy_honest")}
    for _, cells in rows.groupby("_world"):
        seeds = sorted(cells["seed"].unique())
        drawn = draws(cells, len(seeds))
        weights, which = bootstrap.distinct(np.concatenate([np.ones((1, len(seeds))), drawn]))
        for _, block in cells.groupby("_block"):
            values = _dense(block, rules, seeds)
            for name, score in _SCORES.items():
                totals[name].add(score(values, weights)[:, which])
            totals["worst_accuracy_honest"].add(bootstrap.worst_honest(values, weights)[:, which])
    results = {name: total.mean() for name, total in totals.items()}
    _blank_holes(results, rows, rules)
    point = {name: result[:, 0] for name, result in results.items()}
    return Resampled(rules, point, {name: result[:, 1:] for name, result in results.items()})


def draws(cells: pd.DataFrame, n_seeds: int) -> Array:
    """Return how often each of `n_seeds` seeds is drawn in each resample of the world of `cells`.

    Shape [n_resamples, n_seeds]. They depend on the world's settings and on nothing else.
    """
    return bootstrap.resampled(n_seeds, bootstrap.RESAMPLES, stream("bootstrap", _named(cells)))


def _named(cells: pd.DataFrame) -> str:
    """Return the settings of a world as text: its number would depend on the order of the cells."""
    values = cells.iloc[0][sorted(settings(cells))]
    # A number is read as int or as float depending on the other worlds of the frame.
    return json.dumps({k: _plain(v) for k, v in values.items() if pd.notna(v)}, default=str)


def _plain(value: object) -> object:
    return float(value) if isinstance(value, int | float | np.number) else value


class _Average:
    """Mean over blocks that skips the blocks a rule was infeasible in."""

    def __init__(self, n_rules: int) -> None:
        self.total: Array = np.zeros((n_rules, bootstrap.RESAMPLES + 1))
        self.count: Array = np.zeros((n_rules, 1))

    def add(self, values: Array) -> None:
        known = ~np.isnan(values)
        self.total += np.where(known, values, 0)
        self.count += known.all(axis=1, keepdims=True)

    def mean(self) -> Array:
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan)


def _rectangular(rows: pd.DataFrame) -> bool:
    """Whether each world has at least two seeds, the same for all its attacks."""
    seeds = rows.groupby("_world")["seed"].nunique()
    each = rows.groupby(["_world", "attack"])["seed"].nunique()
    return bool((seeds > 1).all() and (each == seeds.reindex(each.index, level="_world")).all())


def _dense(block: pd.DataFrame, rules: list[str], seeds: list[int]) -> Array:
    attacks = sorted(block["attack"].unique())
    index = pd.MultiIndex.from_product([rules, attacks, seeds])
    values = block.set_index(["aggregator", "attack", "seed"])["accuracy"].reindex(index)
    dense: Array = values.to_numpy(dtype=float).reshape(len(rules), len(attacks), len(seeds))
    return dense


def _blank_holes(results: dict[str, Array], rows: pd.DataFrame, rules: list[str]) -> None:
    holes = rows[rows["accuracy"].isna() & (rows["status"] != "infeasible")]["aggregator"].unique()
    for result in results.values():
        result[[rules.index(rule) for rule in holes]] = np.nan
