"""Every rule against one: differences paired on the worlds that both have met."""

from __future__ import annotations

import numpy as np
import pandas as pd

from robustbench_fl.analysis import captions
from robustbench_fl.analysis.attack_effect import PLAIN
from robustbench_fl.analysis.blocks import CLEAN, completed, in_blocks
from robustbench_fl.analysis.bootstrap import mean_interval
from robustbench_fl.analysis.coverage import beyond_all, only_counted
from robustbench_fl.analysis.leaderboard import HONEST, WORST
from robustbench_fl.analysis.scores import Resampled, attacked, block_means, over_blocks, resample
from robustbench_fl.analysis.table import Table
from robustbench_fl.core.errors import UsageError, among

_KEY = ["_block", "attack", "seed"]
_EQUAL = 1e-12


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
        Differences rule − `against` over the blocks in which both have all cells, with 95 %
        bootstrap intervals over seeds inside each world: ``worst_gain`` (honest worst case where
        there are several seeds, else the plain one), ``mean_gain`` (over attacks), ``clean_gain``;
        ``wins``, ``ties``, ``losses``: attacked cells in which the rule is better, equal, worse;
        ``shared``: the cells both have, of those the reference has.

    Raises
    ------
    UsageError
        If the rule is unknown, or no other has a block in common with it.
    """
    cells = only_counted(completed(frame))
    rules = sorted(cells["aggregator"].unique())
    if against not in rules:
        raise UsageError(f"No cell is of the rule {against!r}. {among(against, rules)}")
    cells = cells[~beyond_all(cells)]  # of every rule alike
    blocks = in_blocks(cells)
    sides = {str(rule): rows for rule, rows in blocks.groupby("aggregator")}
    together = resample(blocks)
    rows = [_row(rule, sides[rule], sides[against], together) for rule in sides if rule != against]
    found = pd.DataFrame([row for row in rows if row is not None])
    if found.empty:
        raise UsageError(f"No other rule has a block without a hole in common with {against!r}.")
    found = found.sort_values(["worst_gain", "aggregator"], ascending=[False, True], ignore_index=True)
    return Table(found, None, "worst_gain", _sentences(cells, found, against))


def _row(
    rule: str, cells: pd.DataFrame, reference: pd.DataFrame, together: Resampled | None
) -> dict[str, object] | None:
    shared = _shared(cells, reference)
    both = pd.concat([cells[cells["_block"].isin(shared)], reference[reference["_block"].isin(shared)]])
    hurt = attacked(both)
    if hurt.empty:
        return None
    own, other = rule, str(reference["aggregator"].iloc[0])
    gaps = _gaps(hurt, own, other)
    whole = together is not None and shared == set(reference["_block"]) == set(cells["_block"])
    resampled = together if whole else resample(hurt)
    row: dict[str, object] = {"aggregator": rule, **_worst_gain(hurt, own, other, resampled)}
    for name, found in (
        ("mean_gain", gaps),
        ("clean_gain", _gaps(both[both["attack"] == CLEAN], own, other)),
    ):
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), _averaged(found), strict=True))
    row["wins"] = int((gaps["gap"] > _EQUAL).sum())
    row["ties"] = int((gaps["gap"].abs() <= _EQUAL).sum())
    row["losses"] = int((gaps["gap"] < -_EQUAL).sum())
    row["shared"] = f"{len(gaps)}/{len(attacked(reference))}"
    return row


def _shared(cells: pd.DataFrame, reference: pd.DataFrame) -> set[int]:
    """Return the blocks in which both rules have every attacked cell."""
    whole = [
        attacked(side).groupby("_block")["accuracy"].apply(lambda values: bool(values.notna().all()))
        for side in (cells, reference)
    ]
    first, second = (set(found.index[found]) for found in whole)
    return first & second


def _gaps(rows: pd.DataFrame, own: str, other: str) -> pd.DataFrame:
    """Return one row for each cell of both, with ``gap``, the rule's accuracy minus the other's."""
    values = rows[rows["aggregator"] == own][[*_KEY, "_world", "accuracy"]]
    pairs = values.merge(
        rows[rows["aggregator"] == other][[*_KEY, "accuracy"]], on=_KEY, suffixes=("", "_of")
    )
    return pairs.assign(gap=pairs["accuracy"] - pairs["accuracy_of"]).dropna(subset=["gap"])


def _averaged(gaps: pd.DataFrame) -> tuple[float, float, float]:
    """Return the mean over worlds of the mean over seeds, and its interval (NaN with one seed)."""
    if gaps.empty:
        return np.nan, np.nan, np.nan
    by_seed = gaps.groupby(["_world", "seed"])["gap"].mean()
    groups = [values.to_numpy(dtype=float) for _, values in by_seed.groupby(level=0)]
    mean = float(np.mean([group.mean() for group in groups]))
    if min(map(len, groups)) < 2:
        return mean, np.nan, np.nan
    return mean, *mean_interval(groups, "pairs")


def _worst_gain(hurt: pd.DataFrame, own: str, other: str, resampled: Resampled | None) -> dict[str, float]:
    if resampled is None:
        worst = over_blocks(block_means(hurt), "accuracy", "min")
        return {"worst_gain": worst[own] - worst[other], "worst_gain_low": np.nan, "worst_gain_high": np.nan}
    point = dict(zip(resampled.rules, resampled.point[HONEST], strict=True))
    low, high = resampled.difference(HONEST, own, other)
    return {"worst_gain": point[own] - point[other], "worst_gain_low": low, "worst_gain_high": high}


def _sentences(cells: pd.DataFrame, found: pd.DataFrame, against: str) -> tuple[str, ...]:
    several = found["worst_gain_low"].notna().any()
    brackets = "; brackets: 95 % percentile bootstrap over seeds within each world" * bool(several)
    return (
        f"Gains: accuracy of the rule minus that of {against}, same block, attack and seed; "
        "blocks in which one of the two lacks a cell are left out.",
        f"Sorted by worst_gain: under the worst attack of each block ({HONEST if several else WORST}); "
        "adaptive attacks left out.",
        f"{captions.runs(cells)}{brackets}.",
        "Wins, ties, losses: attacked cells; shared: cells compared, of the reference's.",
        *captions.mixed(cells),
        captions.origin(cells),
    )
