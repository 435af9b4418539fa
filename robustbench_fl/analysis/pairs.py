"""Every rule against one: differences paired on the blocks that both have met."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from robustbench_fl.analysis import captions
from robustbench_fl.analysis.attack_effect import PLAIN, effects
from robustbench_fl.analysis.blocks import in_blocks
from robustbench_fl.analysis.columns import bounds
from robustbench_fl.analysis.counting import Counting, counting
from robustbench_fl.analysis.coverage import beyond_all, counted_cells
from robustbench_fl.analysis.image_counts import COLUMN
from robustbench_fl.analysis.inference import (
    Interval,
    mean_difference,
    pairwise,
    seeds_to_separate,
    worst_difference,
)
from robustbench_fl.analysis.picks import EQUAL
from robustbench_fl.analysis.scores import Seeded, block_means, clean, over_blocks, seeded
from robustbench_fl.analysis.strengths import filled
from robustbench_fl.analysis.table import Said, Table
from robustbench_fl.core.errors import UsageError, among

_KEY = ["_block", "attack", "seed"]
_ASKED = (
    *("_setting", "_assumed", "aggregator", "attack", "seed", "status", "accuracy", COLUMN),
    *("dataset", "malicious", "ranked", "adaptive", "category", "family", "attack_success"),
)
"""The columns of which rows are asked: every copy costs by the column."""
_SEEDS = "seeds_*: with how many seeds the two are probably told apart, from fewest to most."
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
        Differences rule − `against` with 95 % t intervals over seeds, over the blocks that the
        leaderboard counts and in which both have all cells. There ``worst_gain``, ``mean_gain`` and
        ``clean_gain`` are the differences of the two rules' ``worst_accuracy``, ``mean_accuracy``
        and ``clean_accuracy`` (:func:`robustbench_fl.analysis.leaderboard.leaderboard`);
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
    hurting = effects(cells)
    counts = counting(in_blocks(cells[[name for name in _ASKED if name in cells]]), hurting)
    rows = [_row(rule, against, counts) for rule in rules if rule != against]
    found = pd.DataFrame([row for row in rows if row is not None])
    if found.empty:
        raise UsageError(
            f"No other rule has a block without a hole in common with {against!r}, "
            "with attacks that are not adaptive."
        )
    verdicts = _verdicts(counts.worst, against)
    found.insert(1, "verdict", [verdicts.get(rule, "") for rule in found["aggregator"]])
    found = found.astype({"seeds_fewest": "Int64", "seeds_most": "Int64"})
    found = found.sort_values(["worst_gain", "aggregator"], ascending=[False, True], ignore_index=True)
    return Table(found, None, "worst_gain", _sentences(cells, hurting, counts, found, against))


def _row(own: str, other: str, counts: Counting) -> dict[str, object] | None:
    hurt = _shared(counts.worst, own, other)
    if hurt.empty:
        return None
    met, unhurt = (rows[rows["_block"].isin(hurt["_block"])] for rows in (counts.mean, clean(counts.blocks)))
    whole = filled(hurt)
    parts = {
        "worst_gain": (whole, worst_difference, "min"),
        "mean_gain": (met[met["aggregator"].isin([own, other])], mean_difference, "mean"),
        "clean_gain": (_shared(unhurt, own, other), mean_difference, "mean"),
    }
    row: dict[str, object] = {"aggregator": own}
    for name, (rows, difference, within) in parts.items():
        row |= dict(zip((name, *bounds(name)), _gain(rows, own, other, difference, within), strict=True))
    gaps = _gaps(hurt, own, other)
    row["wins"] = int((gaps > EQUAL).sum())
    row["ties"] = int((gaps.abs() <= EQUAL).sum())
    row["losses"] = int((gaps < -EQUAL).sum())
    row["shared"] = f"{len(gaps)}/{int((counts.worst['aggregator'] == other).sum())}"
    paired = _paired(whole, own, other)
    seeds = (None, None) if paired is None else seeds_to_separate(paired.values)
    return row | dict(zip(("seeds_fewest", "seeds_most"), seeds, strict=True))


def _shared(rows: pd.DataFrame, own: str, other: str) -> pd.DataFrame:
    """Return the rows of two rules in the blocks in which neither lacks an accuracy."""
    pair = rows[rows["aggregator"].isin([own, other])]
    each = pair["accuracy"].notna().groupby([pair["_block"], pair["aggregator"]]).all()
    both = each.unstack().reindex(columns=[own, other]).eq(True).all(axis=1)
    return pair[pair["_block"].isin(both.index[both])]


def _gain(
    rows: pd.DataFrame, own: str, other: str, difference: Callable[..., Interval], within: str
) -> Interval:
    """Return the difference of two rules' scores and its interval (NaN without the same, several seeds)."""
    paired = _paired(rows, own, other)
    if paired is not None:
        return difference(paired.values, **paired.test_images)
    score = over_blocks(block_means(rows), "accuracy", within).reindex([own, other])
    return float(score[own] - score[other]), np.nan, np.nan


def _paired(rows: pd.DataFrame, own: str, other: str) -> Seeded | None:
    values = seeded(rows)
    return values.of(own, other) if values is not None and {own, other} <= set(values.rules) else None


def _gaps(rows: pd.DataFrame, own: str, other: str) -> pd.Series:
    """Return the rule's accuracy minus the other's for each cell of both."""
    sides = rows.pivot_table(index=_KEY, columns="aggregator", values="accuracy")
    gaps: pd.Series = (sides[own] - sides[other]).dropna()
    return gaps


def _verdicts(rows: pd.DataFrame, against: str) -> dict[str, str]:
    """Return the verdict of the leaderboard's test on each rule; empty without several seeds."""
    values = seeded(filled(rows))
    if values is None or against not in values.rules:
        return {}
    row = pairwise(values.values, **values.test_images)[:, values.rules.index(against)]
    return {rule: VERDICTS.get(sign, "") for rule, sign in zip(values.rules, row, strict=True)}


def _sentences(
    cells: pd.DataFrame, hurting: pd.DataFrame, counts: Counting, found: pd.DataFrame, against: str
) -> tuple[str, ...]:
    several = bool(found["worst_gain_low"].notna().any())
    brackets = f"; brackets: {captions.INTERVAL}, each by itself" * several
    return (
        f"Gains: the leaderboard's number of the rule minus that of {against}, same blocks and seeds. "
        "Blocks in which one of the two lacks a cell are left out.",
        "Sorted by worst_gain: under the worst attack of each block; adaptive attacks left out.",
        *captions.idle(counts),
        *captions.credit(cells, hurting),
        *captions.families(cells),
        f"{captions.runs(cells)}{brackets}.",
        *[Said(f"verdict: {captions.TEST} over all pairs of rules in this table.", "verdict")] * several,
        *[Said(_SEEDS, "seeds_fewest", "seeds_most")] * several,
        "Wins, ties, losses: attacked cells; shared: cells compared, of the reference's.",
        *captions.mixed(cells),
        captions.origin(cells),
    )
