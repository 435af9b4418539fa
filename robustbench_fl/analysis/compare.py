"""Two folders compared, cell by cell: paired differences, wins and losses, regressions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from robustbench_fl.analysis import captions
from robustbench_fl.analysis.alignment import Aligned, align
from robustbench_fl.analysis.columns import JUDGED, sign
from robustbench_fl.analysis.frame import FLOATS
from robustbench_fl.analysis.inference import Interval, mean_interval
from robustbench_fl.analysis.moderated import holm, moderated, two_sided
from robustbench_fl.analysis.picks import EQUAL, Array
from robustbench_fl.analysis.power import ALPHA, POWER, effect_interval, seeds_for
from robustbench_fl.analysis.table import Table
from robustbench_fl.core.errors import UsageError, among
from robustbench_fl.core.status import FAILURES

ALL = "all rules"
_NEEDED = (
    f"seeds_*: with how many seeds a paired t-test at {ALPHA:g} probably sees this difference with a power "
    f"of {POWER:g}, from fewest to most."
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
        accuracy). A row is a regression if it is worse than that beyond doubt, or, with one common
        seed, at all.
    force : bool, optional
        Compare different settings all the same; without common seeds the difference is not paired.

    Returns
    -------
    Comparison
        ``VALUE_a``, ``VALUE_b``; ``VALUE_delta``: second − first, mean over cells, with its 95 % t
        interval over seeds; ``wins``, ``ties``, ``losses``: cells in which the second is better,
        equal, worse; ``seeds_fewest``, ``seeds_most``: the range of seeds that it probably takes to
        see the difference.

    Raises
    ------
    UsageError
        If the value is unknown, the tolerance negative, or the folders cannot be aligned
        (:func:`robustbench_fl.analysis.alignment.align`).
    """
    known = sorted(JUDGED & set(FLOATS))
    if value not in known:
        raise UsageError(f"Unknown value {value!r}. {among(value, known)}")
    if not tolerance >= 0:
        raise UsageError(f"The tolerance must not be negative, got {tolerance:g}.")
    aligned = align(first, second, force)
    pairs = _pairs(aligned, value)
    if pairs.empty:
        raise UsageError(f"No cell has {value} in both folders.")
    sides = {str(rule): cells for rule, cells in pairs.groupby("aggregator")}
    if len(sides) > 1:
        sides[ALL] = pairs
    rows = [_row(rule, cells, value, tolerance, aligned.paired) for rule, cells in sides.items()]
    rows.sort(key=lambda row: (row["aggregator"] == ALL, sign(value) * float(str(row[f"{value}_delta"]))))
    table = pd.DataFrame(rows).astype({"seeds_fewest": "Int64", "seeds_most": "Int64"})
    worse = _beyond_doubt(sides, sign(value), tolerance, aligned.paired)
    return Comparison(
        table,
        None,
        f"{value}_delta",
        _sentences(aligned, pairs, value, tolerance),
        (*_worse(table, value, worse), *_broken(aligned)),
        tuple(sorted(aligned.only_a["key"])),
        tuple(sorted(aligned.only_b["key"])),
    )


def _pairs(aligned: Aligned, value: str) -> pd.DataFrame:
    """Return one row a cell (a mean over seeds where seeds are not shared) with ``a`` and ``b``."""
    both = aligned.both
    setting = [name for name in aligned.on if name not in ("aggregator", "attack", "assumed_f", "seed")]
    pairs = both[["_match", "aggregator", "attack", "assumed_f", "seed_a", "seed_b"]].copy()
    pairs["_setting"] = both.groupby(setting, dropna=False, sort=False).ngroup() if setting else 0
    pairs["a"], pairs["b"] = both[f"{value}_a"], both[f"{value}_b"]
    return pairs.dropna(subset=["a", "b"])


def _row(label: str, cells: pd.DataFrame, value: str, tolerance: float, paired: bool) -> dict[str, object]:
    delta, low, high = (_paired if paired else _unpaired)(cells)
    fewest, most = _seeds(_by_seed(cells)) if paired else (None, None)
    places = cells.groupby("_match")[["a", "b"]].mean()
    better = sign(value) * (places["b"] - places["a"])
    wins, losses = int((better > tolerance + EQUAL).sum()), int((better < -tolerance - EQUAL).sum())
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
        "seeds_fewest": fewest,
        "seeds_most": most,
    }


def _by_seed(cells: pd.DataFrame) -> Array:
    """Return B − A of each place under each seed, [n_places, n_seeds]; empty with a seed missing."""
    gaps = cells.assign(gap=cells["b"] - cells["a"], _place=_places(cells))
    table: Array = gaps.pivot(index="_place", columns="seed_a", values="gap").to_numpy(dtype=float)
    return table[:0] if np.isnan(table).any() or table.shape[1] < 2 else table


def _places(cells: pd.DataFrame) -> pd.Series:
    return cells.groupby(["aggregator", "attack", "assumed_f", "_setting"], dropna=False).ngroup()


def _paired(cells: pd.DataFrame) -> Interval:
    """Return the difference and its interval, NaN with one seed."""
    by_seed = _by_seed(cells)
    if not len(by_seed):
        return float((cells["b"] - cells["a"]).mean()), np.nan, np.nan
    return mean_interval(by_seed[:, None])


def _unpaired(cells: pd.DataFrame) -> Interval:
    """The same for folders without a common seed, by Welch's test."""
    from scipy.special import stdtrit

    gap, variance, df = _welch(cells)
    reach = float(stdtrit(df, 0.975) * np.sqrt(variance))
    return gap, gap - reach, gap + reach


def _welch(cells: pd.DataFrame) -> tuple[float, float, float]:
    """Return the difference of two folders' means, its variance, and the degrees of freedom of that.

    The last two are NaN with one seed on a side.
    """
    sides = [cells.groupby(f"seed_{side}")[side].mean() for side in ("b", "a")]
    gap = float(cells["b"].mean() - cells["a"].mean())
    if min(map(len, sides)) < 2:
        return gap, np.nan, np.nan
    parts = np.array([side.var(ddof=1) / len(side) for side in sides])
    freedom = np.array([len(side) - 1 for side in sides])
    if not parts.sum() > EQUAL**2:
        return gap, 0.0, float(freedom.sum())
    return gap, float(parts.sum()), float(parts.sum() ** 2 / (parts**2 / freedom).sum())


def _seeds(by_seed: Array) -> tuple[int | None, int | None]:
    """Return between how many seeds it probably takes to see the difference."""
    if not len(by_seed):
        return None, None
    smallest, largest = effect_interval(by_seed.mean(axis=0), 1 - ALPHA)
    return seeds_for(largest), seeds_for(smallest)


def _beyond_doubt(sides: Mapping[str, pd.DataFrame], sign: float, tolerance: float, paired: bool) -> set[str]:
    """Return the rows that are worse by more than the tolerance, by Holm over all rows.

    A difference without an interval counts as it is with one common seed, and never where seeds are missing.
    """
    if not paired:
        known = {rule: found for rule, cells in sides.items() if np.isfinite(found := _welch(cells)).all()}
        gaps, spreads, dfs = np.array([*known.values()]).reshape(-1, 3).T
        return _rejected(dict(zip(known, two_sided(-sign * gaps - tolerance, spreads, dfs), strict=True)))
    single = {rule: cells for rule, cells in sides.items() if cells["seed_a"].nunique() == 1}
    as_it_is = {rule for rule, cells in single.items() if sign * _paired(cells)[0] < -tolerance - EQUAL}
    tested = {rule: values for rule, cells in sides.items() if len(values := _by_seed(cells))}
    by_length: dict[int, list[str]] = {}
    for rule, values in tested.items():
        by_length.setdefault(values.shape[1], []).append(rule)
    p_values: dict[str, float] = {}
    for n, rules in by_length.items():
        losses = np.array([-sign * tested[rule].mean(axis=0) - tolerance for rule in rules])
        variances, df = moderated(losses.var(axis=1, ddof=1), n - 1, len(rules) * (n - 1))
        p_values |= dict(zip(rules, two_sided(losses.mean(axis=1), variances / n, df), strict=True))
    return as_it_is | _rejected(p_values)


def _rejected(p_values: Mapping[str, float]) -> set[str]:
    rejected = holm(np.array([*p_values.values()], dtype=float), ALPHA)
    return {name for name, surely in zip(p_values, rejected, strict=True) if surely}


def _worse(table: pd.DataFrame, value: str, worse: set[str]) -> list[str]:
    """Return a sentence for each row that is worse."""
    found = []
    for row in table[table["aggregator"].isin(worse)].to_dict("records"):
        delta, low, high = (row[f"{value}_delta{end}"] for end in ("", "_low", "_high"))
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
    places = pairs.groupby("_setting") if aligned.paired else pairs
    several = bool((places[["seed_a", "seed_b"]].nunique() > 1).all(axis=None))
    how = "paired on the same setting and seed" if aligned.paired else "not paired: the folders share no seed"
    margin = f" by more than {tolerance:g}" if tolerance else ""
    return (
        f"A is the first folder, B the second. Difference: {value} of B minus that of A, {how}, "
        "mean over cells.",
        _doubt(pairs, several, aligned.paired),
        f"Wins, ties, losses: cells in which B is better, equal, worse{margin}.",
        *([_NEEDED] * (several and aligned.paired)),
        _matches(aligned),
        *_changes(aligned),
    )


def _doubt(pairs: pd.DataFrame, several: bool, paired: bool) -> str:
    if not several and not paired:
        return "One folder has one seed: no interval, and nothing counts as a regression."
    if not several:
        return "One seed in some setting, no interval: a difference counts as it is."
    seeds = captions.runs(pairs.assign(seed=pairs["seed_a"]))
    brackets = f"brackets: {captions.INTERVAL}, each by itself"
    return (
        f"{seeds}; {brackets}. A row is a regression if a t-test over seeds, corrected by Holm for the "
        "number of rows, says so."
    )


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
