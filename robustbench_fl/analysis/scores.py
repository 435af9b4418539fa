"""Scores of rules: block by block, then over blocks; and their accuracies as arrays for `inference`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.grid import grid
from robustbench_fl.analysis.picks import EQUAL, Array


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
    """Return for each rule the mean of the middle half of its accuracies (a value a cell).

    References
    ----------
    .. [1] R. Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
       Precipice", NeurIPS 2021, Section 4.3.
    """
    known = table.dropna(subset=["accuracy"]).groupby("aggregator")["accuracy"]
    found = {rule: interquartile_mean(values.to_numpy(dtype=float)) for rule, values in known}
    return pd.Series(found, dtype=float)


def interquartile_mean(values: Array) -> float:
    """Return the mean of the middle half of `values`, those at its border by the share inside.

    Examples
    --------
    Of three, the middle one counts whole and a quarter of either neighbour:

    >>> interquartile_mean(np.array([0.0, 0.3, 0.9])), interquartile_mean(np.array([0.0, 0.2, 0.4, 1.0]))
    (0.35, 0.3)
    """
    upto = np.arange(len(values) + 1.0)
    inside = np.diff(np.clip(upto, len(values) / 4, 3 * len(values) / 4))
    return round(float(inside @ np.sort(values)) / (len(values) / 2), 12)


@dataclass(frozen=True)
class Seeded:
    """Accuracies of rules that met the same seeds everywhere.

    Attributes
    ----------
    rules : list of str
        The first axis: rules without a hole.
    values : array of shape [n_rules, n_blocks, n_attacks, n_seeds]
        NaN where an attack is infeasible for a rule or was not met in the block.
    images : list or None
        By rule, which test images were classified correctly, if every cell says so.
    test_sets : list of str
        The data set of each block.
    """

    rules: list[str]
    values: Array
    images: list[Any] | None
    test_sets: list[str]

    def of(self, *names: str) -> Seeded:
        """Return some of the rules, in that order."""
        places = [self.rules.index(name) for name in names]
        images = None if self.images is None else [self.images[place] for place in places]
        return Seeded(list(names), self.values[places], images, self.test_sets)

    @property
    def test_images(self) -> dict[str, Any]:
        """What functions of `inference` take besides values [rules, ...]."""
        return {} if self.images is None else {"image_correct": self.images, "test_sets": self.test_sets}

    def test_images_of(self, place: int) -> dict[str, Any]:
        """What functions of `inference` take besides the values of one rule."""
        if self.images is None:
            return {}
        return {"image_correct": self.images[place], "test_sets": self.test_sets}


def seeded(rows: pd.DataFrame) -> Seeded | None:
    """Return the accuracies of `rows` as an array over seeds.

    Parameters
    ----------
    rows : pandas.DataFrame
        Completed cells in blocks (:func:`robustbench_fl.analysis.blocks.in_blocks`).

    Returns
    -------
    Seeded or None
        None with one seed, or where blocks or attacks were run on different seeds. Rules with a
        hole (a value in some seeds only, or a cell that is feasible and lacks it) are left out.
    """
    if rows.empty or not _same_seeds(rows):
        return None
    kept = rows[~rows["aggregator"].isin(_with_holes(rows))]
    if kept.empty:
        return None
    found = grid(kept)
    images = None if found.image_correct is None else [*found.image_correct]
    return Seeded(found.rules, found.values, images, found.test_sets)


def _same_seeds(rows: pd.DataFrame) -> bool:
    """Whether there are at least two seeds, the same in every block for all attacks."""
    each = rows.groupby(["_block", "attack"])["seed"].nunique()
    n_seeds = rows["seed"].nunique()
    return bool(n_seeds > 1 and (each == n_seeds).all())


def _with_holes(rows: pd.DataFrame) -> set[str]:
    lacking = rows["accuracy"].isna()
    open_ = set(rows[lacking & (rows["status"] != "infeasible")]["aggregator"])
    partly = lacking.groupby([rows["aggregator"], rows["_block"], rows["attack"]]).agg(["any", "all"])
    partly = partly[partly["any"] & ~partly["all"]]
    return open_ | set(partly.index.get_level_values("aggregator"))
