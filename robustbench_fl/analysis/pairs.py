"""Every rule against one: differences paired on the blocks that both have met."""

from __future__ import annotations

import numpy as np
import pandas as pd

from robustbench_fl.analysis import captions
from robustbench_fl.analysis.attack_effect import PLAIN
from robustbench_fl.analysis.blocks import CLEAN, in_blocks
from robustbench_fl.analysis.coverage import beyond_all, counted_cells
from robustbench_fl.analysis.image_counts import COLUMN
from robustbench_fl.analysis.inference import mean_interval, pairwise, seeds_to_separate, worst_difference
from robustbench_fl.analysis.picks import EQUAL
from robustbench_fl.analysis.scores import attacked, block_means, over_blocks, seeded
from robustbench_fl.analysis.strengths import by_family, filled
from robustbench_fl.analysis.table import Table
from robustbench_fl.core.errors import UsageError, among

_KEY = ["_block", "attack", "seed"]
_ASKED = (
    *("_setting", "_assumed", "aggregator", "attack", "seed", "status", "accuracy", COLUMN),
    *("dataset", "adaptive", "family"),
)
"""The columns of which rows are asked: every copy costs by the column."""
VERDICTS = {1.0: "better", -1.0: "worse", 0.0: "open"}
"""What the test of pairs says of a rule against another."""


def pair_table(frame: pd.DataFrame, against: str = PLAIN) -> Table:
    """Return what each rule gains over one of them, the largest gain in the worst case first.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`.
    against : str, optional
        The rule that the others are compared with.

    Returns
    -------
    Table
        Differences rule − `against` over the blocks in which both have all cells, with 95 % t
        intervals over seeds: ``worst_gain``, ``mean_gain`` (over the families of attacks
        that both met, each rule at its worst member), ``clean_gain``;
        ``verdict``: what the test over all pairs of rules says
        (:func:`robustbench_fl.analysis.inference.pairwise`); ``wins``, ``ties``, ``losses``: attacked
        cells in which the rule is better, equal, worse; ``shared``: the cells both have, of those
        the reference has; ``seeds_fewest``, ``seeds_most``: between how many seeds it probably
        takes to tell the two apart.

    Raises
    ------
    UsageError
        If the rule is unknown, or no other has a block in common with it.
    """
    cells = counted_cells(frame)
    rules = sorted(cells["aggregator"].unique())
    if against not in rules:
        raise UsageError(f"No cell is of the rule {against!r}. {among(against, rules)}")
    cells = cells[~beyond_all(cells)]  # of every rule alike
    blocks = in_blocks(cells[[name for name in _ASKED if name in cells]])
    sides = {str(rule): rows for rule, rows in blocks.groupby("aggregator")}
    rows = [_row(rule, sides[rule], sides[against]) for rule in sides if rule != against]
    found = pd.DataFrame([row for row in rows if row is not None])
    if found.empty:
        raise UsageError(f"No other rule has a block without a hole in common with {against!r}.")
    verdicts = _verdicts(blocks, against)
    found.insert(1, "verdict", [verdicts.get(rule, "") for rule in found["aggregator"]])
    found = found.astype({"seeds_fewest": "Int64", "seeds_most": "Int64"})
    found = found.sort_values(["worst_gain", "aggregator"], ascending=[False, True], ignore_index=True)
    return Table(found, None, "worst_gain", _sentences(cells, found, against))


def _row(rule: str, cells: pd.DataFrame, reference: pd.DataFrame) -> dict[str, object] | None:
    shared = _shared(cells, reference)
    both = pd.concat([cells[cells["_block"].isin(shared)], reference[reference["_block"].isin(shared)]])
    hurt = attacked(both)
    if hurt.empty:
        return None
    own, other = rule, str(reference["aggregator"].iloc[0])
    row: dict[str, object] = {"aggregator": rule}
    values = seeded(filled(hurt))
    paired = None if values is None else values.of(own, other)
    if paired is None:
        worst = over_blocks(block_means(hurt), "accuracy", "min")
        gain = (worst[own] - worst[other], np.nan, np.nan)
    else:
        gain = worst_difference(paired.values, **paired.test_images)
    row |= dict(zip(("worst_gain", "worst_gain_low", "worst_gain_high"), gain, strict=True))
    for name, part in (("mean_gain", by_family(hurt)), ("clean_gain", both[both["attack"] == CLEAN])):
        gains = _averaged(part, own, other)
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), gains, strict=True))
    gaps = _gaps(hurt, own, other)
    row["wins"] = int((gaps > EQUAL).sum())
    row["ties"] = int((gaps.abs() <= EQUAL).sum())
    row["losses"] = int((gaps < -EQUAL).sum())
    row["shared"] = f"{len(gaps)}/{len(attacked(reference))}"
    seeds = (None, None) if paired is None else seeds_to_separate(paired.values)
    return row | dict(zip(("seeds_fewest", "seeds_most"), seeds, strict=True))


def _shared(cells: pd.DataFrame, reference: pd.DataFrame) -> set[int]:
    """Return the blocks in which both rules have every attacked cell."""
    whole = [
        attacked(side).groupby("_block")["accuracy"].apply(lambda values: bool(values.notna().all()))
        for side in (cells, reference)
    ]
    first, second = (set(found.index[found]) for found in whole)
    return first & second


def _gaps(rows: pd.DataFrame, own: str, other: str) -> pd.Series:
    """Return the rule's accuracy minus the other's for each cell of both."""
    sides = rows.pivot_table(index=_KEY, columns="aggregator", values="accuracy")
    if not {own, other} <= set(sides):
        return pd.Series(dtype=float)
    gaps: pd.Series = (sides[own] - sides[other]).dropna()
    return gaps


def _averaged(rows: pd.DataFrame, own: str, other: str) -> tuple[float, float, float]:
    """Return the mean over blocks of the mean over attacks, and its interval (NaN with one seed)."""
    values = seeded(rows)
    if values is not None and {own, other} <= set(values.rules):
        first, second = values.of(own, other).values
        return mean_interval(first - second)
    gaps = _gaps(rows, own, other)
    if gaps.empty:
        return np.nan, np.nan, np.nan
    by_attack = gaps.groupby(["_block", "attack"]).mean()
    return float(by_attack.groupby("_block").mean().mean()), np.nan, np.nan


def _verdicts(blocks: pd.DataFrame, against: str) -> dict[str, str]:
    """Return the verdict of the leaderboard's test on each rule; empty without several seeds."""
    values = seeded(filled(attacked(blocks)))
    if values is None or against not in values.rules:
        return {}
    row = pairwise(values.values, **values.test_images)[:, values.rules.index(against)]
    return {rule: VERDICTS.get(sign, "") for rule, sign in zip(values.rules, row, strict=True)}


def _sentences(cells: pd.DataFrame, found: pd.DataFrame, against: str) -> tuple[str, ...]:
    several = bool(found["worst_gain_low"].notna().any())
    families = bool(captions.families_of_several(cells))
    brackets = f"; brackets: {captions.INTERVAL}, each by itself" * several
    return (
        f"Gains: accuracy of the rule minus that of {against}, same block, attack and seed. "
        "Blocks in which one of the two lacks a cell are left out.",
        "Sorted by worst_gain: under the worst attack of each block; adaptive attacks left out.",
        *["mean_gain: over the families of attacks that both met, each rule at its worst member."] * families,
        f"{captions.runs(cells)}{brackets}.",
        *[f"verdict: {captions.TEST} over all pairs of rules in this table."] * several,
        *["seeds_*: with how many seeds the two are probably told apart, from fewest to most."] * several,
        "Wins, ties, losses: attacked cells; shared: cells compared, of the reference's.",
        *captions.mixed(cells),
        captions.origin(cells),
    )
