"""Two folders compared, cell by cell: paired differences, wins and losses, regressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from robustbench_fl.analysis import captions
from robustbench_fl.analysis.alignment import Aligned, align
from robustbench_fl.analysis.bootstrap import Drawn, bootstrapped, interval, mean_interval
from robustbench_fl.analysis.columns import JUDGED, sign
from robustbench_fl.analysis.estimators import Array
from robustbench_fl.analysis.power import ALPHA, POWER, seeds_needed
from robustbench_fl.analysis.table import Table
from robustbench_fl.core.errors import UsageError, among
from robustbench_fl.core.status import FAILURES

ALL = "all rules"
_EQUAL = 1e-12
_NEEDED = (
    f"seeds_needed: with which a paired two-sided t-test at alpha {ALPHA:g} sees this difference with power "
    f"{POWER:g}, its spread over seeds being as seen."
)


@dataclass(frozen=True)
class Comparison(Table):
    """One row a rule, the largest loss first, and one for all rules.

    Attributes
    ----------
    regressions : tuple of str
        A sentence for each row that got worse beyond doubt and tolerance, and for cells that the
        first folder finished and the second failed.
    only_a, only_b : tuple of str
        Keys of the cells finished in one folder and not planned in the other.
    """

    regressions: tuple[str, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def compare(
    first: Iterable[Mapping[str, Any]],
    second: Iterable[Mapping[str, Any]],
    value: str = "accuracy",
    tolerance: float = 0.0,
    force: bool = False,
) -> Comparison:
    """Compare the second folder with the first.

    Parameters
    ----------
    first, second : iterables of mappings
        One record for every planned cell: the folder compared with, and the one compared.
    value : str, optional
        A column of which it is known whether higher or lower is better.
    tolerance : float, optional
        Differences of a cell up to it are ties, in the unit of `value` (0.01 is one point of
        accuracy). A row is a regression if its whole interval is worse than that, or, where there
        is one seed and no interval, its difference.
    force : bool, optional
        Compare different worlds all the same; without common seeds the difference is not paired.

    Returns
    -------
    Comparison
        ``VALUE_a``, ``VALUE_b``; ``VALUE_delta``: second − first, the mean over worlds of the mean
        over seeds, with its 95 % bootstrap interval over seeds inside each world; ``wins``,
        ``ties``, ``losses``: cells in which the second is better, equal, worse; ``seeds_needed``.

    Raises
    ------
    UsageError
        If the value is unknown, the tolerance negative, or the folders cannot be aligned
        (:func:`robustbench_fl.analysis.alignment.align`).
    """
    if value not in JUDGED:
        raise UsageError(f"Unknown value {value!r}. {among(value, sorted(JUDGED))}")
    if not tolerance >= 0:
        raise UsageError(f"The tolerance must not be negative, got {tolerance:g}.")
    aligned = align(first, second, force)
    pairs = _pairs(aligned, value)
    if pairs.empty:
        raise UsageError(f"No cell has {value} in both folders.")
    groups = [(rule, cells) for rule, cells in pairs.groupby("aggregator")]
    rows = [_row(str(rule), cells, value, tolerance, aligned.paired) for rule, cells in groups]
    rows.sort(key=lambda row: (sign(value) * float(str(row[f"{value}_delta"])), str(row["aggregator"])))
    if len(rows) > 1:
        rows.append(_row(ALL, pairs, value, tolerance, aligned.paired))
    table = pd.DataFrame(rows).astype({"seeds_needed": "Int64"})
    return Comparison(
        table,
        None,
        f"{value}_delta",
        _sentences(aligned, pairs, value, tolerance),
        (*_worse(table, value, tolerance), *_broken(aligned)),
        tuple(sorted(aligned.only_a["key"])),
        tuple(sorted(aligned.only_b["key"])),
    )


def _pairs(aligned: Aligned, value: str) -> pd.DataFrame:
    """Return one row a cell (a mean over seeds where seeds are not shared) with ``a`` and ``b``."""
    both = aligned.both
    world = [name for name in aligned.on if name not in ("aggregator", "attack", "assumed_f", "seed")]
    pairs = both[["_match", "aggregator", "seed_a", "seed_b"]].copy()
    pairs["_world"] = both.groupby(world, dropna=False, sort=False).ngroup() if world else 0
    pairs["a"], pairs["b"] = both[f"{value}_a"], both[f"{value}_b"]
    return pairs.dropna(subset=["a", "b"])


def _row(label: str, cells: pd.DataFrame, value: str, tolerance: float, paired: bool) -> dict[str, object]:
    delta, low, high, needed = (_paired if paired else _unpaired)(cells)
    places = cells.groupby("_match")[["a", "b"]].mean()
    better = sign(value) * (places["b"] - places["a"])
    wins, losses = int((better > tolerance + _EQUAL).sum()), int((better < -tolerance - _EQUAL).sum())
    return {
        "aggregator": label,
        f"{value}_a": cells["a"].mean(),
        f"{value}_b": cells["b"].mean(),
        f"{value}_delta": delta,
        f"{value}_delta_low": low,
        f"{value}_delta_high": high,
        "wins": wins,
        "ties": len(places) - wins - losses,
        "losses": losses,
        "cells": len(places),
        "seeds_needed": needed,
    }


def _paired(cells: pd.DataFrame) -> tuple[float, float, float, int | None]:
    """Return the difference, its interval, and the seeds needed to see it."""
    gaps = (cells["b"] - cells["a"]).groupby([cells["_world"], cells["seed_a"]]).mean()
    groups = [gap.to_numpy(dtype=float) for _, gap in gaps.groupby(level=0)]
    delta = float(np.mean([group.mean() for group in groups]))
    if min(map(len, groups)) < 2:
        return delta, np.nan, np.nan, None
    low, high = mean_interval(groups, "compare")
    by_seed = gaps.unstack(level=0).dropna().mean(axis=1).to_numpy(dtype=float)
    return delta, low, high, seeds_needed(by_seed) if len(by_seed) > 1 else None


def _unpaired(cells: pd.DataFrame) -> tuple[float, float, float, None]:
    """The same for folders without a common seed: each side is resampled on its own."""
    sides = [
        [
            values.to_numpy(dtype=float)
            for _, values in cells.groupby(["_world", f"seed_{side}"])[side].mean().groupby(level=0)
        ]
        for side in ("a", "b")
    ]
    means = [float(np.mean([group.mean() for group in groups])) for groups in sides]
    groups = [*sides[0], *sides[1]]
    if min(map(len, groups)) < 2:
        return means[1] - means[0], np.nan, np.nan, None

    def gap(*drawn: Drawn, axis: int) -> Array:
        each = [group[places].mean(axis=axis) for group, places in zip(groups, drawn, strict=True)]
        half = len(sides[0])
        difference: Array = np.mean(each[half:], axis=0) - np.mean(each[:half], axis=0)
        return difference

    low, high = interval(bootstrapped(gap, [len(group) for group in groups], "compare"))
    return means[1] - means[0], float(low), float(high), None


def _worse(table: pd.DataFrame, value: str, tolerance: float) -> list[str]:
    """Return a sentence for each row whose whole interval is worse than the tolerance."""
    found = []
    for row in table.to_dict("records"):
        delta, low, high = (row[f"{value}_delta{end}"] for end in ("", "_low", "_high"))
        best = delta if np.isnan(low) else (high if sign(value) > 0 else low)
        if sign(value) * best < -tolerance - _EQUAL:
            bounds = "" if np.isnan(low) else f" [{low:.4g}, {high:.4g}]"
            found.append(f"{row['aggregator']}: {value} {delta:+.4g}{bounds}")
    return found


def _broken(aligned: Aligned) -> list[str]:
    broken = aligned.lost[aligned.lost["status"].isin(FAILURES)]
    return [
        f"{rule}: {len(cells)} cells that A finished are {', '.join(sorted(set(cells['status'])))} in B"
        for rule, cells in broken.groupby("aggregator")
    ]


def _sentences(aligned: Aligned, pairs: pd.DataFrame, value: str, tolerance: float) -> tuple[str, ...]:
    several = bool(pairs.groupby("_world")["seed_a"].nunique().min() > 1)
    how = "paired on the same world and seed" if aligned.paired else "not paired: the folders share no seed"
    margin = f" by more than {tolerance:g}" if tolerance else ""
    return (
        f"A is the first folder, B the second. Difference: {value} of B minus that of A, {how}, "
        "mean over worlds of the mean over seeds.",
        _doubt(pairs, several),
        f"Wins, ties, losses: cells in which B is better, equal, worse{margin}.",
        *([_NEEDED] * (several and aligned.paired)),
        _matches(aligned),
        *_changes(aligned),
    )


def _doubt(pairs: pd.DataFrame, several: bool) -> str:
    if not several:
        return "One seed in some world, no interval: a difference counts as it is."
    seeds = captions.runs(pairs.assign(seed=pairs["seed_a"]))
    bootstrap = "95 % percentile bootstrap over seeds within each world"
    return f"{seeds}; brackets: {bootstrap}; not corrected for the number of rows."


def _matches(aligned: Aligned) -> str:
    same = int((aligned.both["key_a"] == aligned.both["key_b"]).sum())
    parts = [
        f"{len(aligned.both)} cells finished in both, {same} of them with the same key",
        f"only in A: {_by_rule(aligned.only_a)}",
        f"only in B: {_by_rule(aligned.only_b)}",
    ]
    parts += [f"unfinished in B: {_by_rule(aligned.lost)}"] * bool(len(aligned.lost))
    parts += [f"unfinished in A: {_by_rule(aligned.gained)}"] * bool(len(aligned.gained))
    return "; ".join(parts) + "."


def _by_rule(cells: pd.DataFrame, most: int = 4) -> str:
    if cells.empty:
        return "0"
    counts = cells["aggregator"].value_counts().sort_index()
    shown = ", ".join(f"{rule} {count}" for rule, count in counts.head(most).items())
    return f"{len(cells)} ({shown}{', …' if len(counts) > most else ''})"


def _changes(aligned: Aligned) -> Sequence[str]:
    """Say what else differs between the two sides."""
    both = aligned.both
    names = {"commit": "commit", "versions": "versions", "engine_name": "training engine", "device": "device"}
    differ = [text for name, text in names.items() if _sides_differ(both, name)]
    if "engine_a" in both and _sides_differ(both, "engine"):
        differ.append("engine version")
    said = [f"Differs between the two: {', '.join(differ)}."] if differ else []
    if aligned.remade:
        said.append(f"Other versions or defaults of: {', '.join(aligned.remade)}.")
    if aligned.forced:
        said.append(f"Forced although they differ in: {', '.join(aligned.forced)}.")
    return said


def _sides_differ(both: pd.DataFrame, name: str) -> bool:
    return set(both[f"{name}_a"].dropna()) != set(both[f"{name}_b"].dropna())
