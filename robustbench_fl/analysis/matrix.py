"""Any column of the frame as a matrix over any two (or more) others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from robustbench_fl.analysis import captions
from robustbench_fl.analysis.attack_effect import effects, losses
from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.columns import JUDGED, VALUES, sign
from robustbench_fl.analysis.coverage import beyond_all, counted_cells
from robustbench_fl.analysis.frame import settings
from robustbench_fl.analysis.inference import mean_interval
from robustbench_fl.core.errors import UsageError, among

_TIED = "= not surely below the best (paired 95 % t interval over seeds, one by one)."
_WEAK = "† ineffective: plain averaging is not hurt, so nobody is marked best."


@dataclass(frozen=True)
class Matrix:
    """Means of one column, with what each of them stands on.

    Attributes
    ----------
    values : pandas.DataFrame
        Float, NaN for a hole or where the value does not apply; the index and the columns are
        named by what they show, such as ``"attack,partition"``.
    done, planned : pandas.DataFrame
        Cells averaged, and cells that should have been; fewer done than planned is incomplete.
    best, tied : pandas.DataFrame
        Whether a rule's value is the best against its peers, and whether it is tied to the best.
        All False where no rules are compared.
    ineffective : frozenset of str
        Labels of rows or columns whose attacks leave plain averaging unhurt wherever they were met.
    value : str
        The column averaged.
    caption : str
        What was averaged over, seeds, marks, origin.
    """

    values: pd.DataFrame
    done: pd.DataFrame
    planned: pd.DataFrame
    best: pd.DataFrame
    tied: pd.DataFrame
    ineffective: frozenset[str]
    value: str
    caption: str

    @property
    def incomplete(self) -> pd.DataFrame:
        """Whether a mean stands on fewer cells than planned."""
        return self.done < self.planned


def matrix(
    frame: pd.DataFrame,
    rows: str | Sequence[str] = "aggregator",
    cols: str | Sequence[str] = "attack",
    value: str = "accuracy",
) -> Matrix:
    """Average `value` over everything that is neither in `rows` nor in `cols`.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame`.
    rows, cols : str or sequence of str, optional
        Columns of the frame; several are joined, also as text: ``"attack,partition"``.
    value : str, optional
        One of :data:`robustbench_fl.analysis.columns.VALUES`.

    Returns
    -------
    Matrix
        Unless the attack is in `rows` or `cols`, the attack ``none`` and adaptive attacks are left
        out; unless the fraction ``malicious`` is, cells without malicious clients are (so that
        clean accuracy is the one at the same fractions). A mean over fewer cells than planned is
        incomplete; it is never the best.

    Raises
    ------
    UsageError
        If there is no cell or a column does not exist, or is asked for twice.
    """
    row_names, col_names = _names(frame, rows, "rows"), _names(frame, cols, "cols")
    _check_value(value)
    _refuse_shared(row_names, col_names)
    if frame.empty:
        raise UsageError("There is no cell to show: the frame is empty. Run the sweep first.")
    cells = counted_cells(frame)
    found = effects(cells)
    if value == "accuracy_loss":
        cells[value] = losses(cells)
    table, left_out = _comparable(cells, {*row_names, *col_names})
    table = table.assign(
        _row=_joined(table, row_names), _col=_joined(table, col_names), _done=table["accuracy"].notna()
    )
    table[value] = table[value].where(table["_done"])
    shape = {
        "index": _ordered(table, "_row", row_names),
        "columns": _ordered(table, "_col", col_names),
    }
    groups = table.groupby(["_row", "_col"])
    values = groups[value].mean().unstack().reindex(**shape)
    done = groups["_done"].sum().unstack().reindex(**shape).fillna(0).astype(int)
    planned = groups.size().unstack().reindex(**shape).fillna(0).astype(int)
    best, tied = _compared(table, values, done < planned, value, row_names, col_names)
    weak = _ineffective(table, "_row" if "attack" in row_names else "_col", {*row_names, *col_names}, found)
    best, tied = _uncredited(best, weak), _uncredited(tied, weak)
    marks = [_TIED] * bool(tied.any(axis=None)) + [_WEAK] * bool(weak)
    caption = _caption(table, {*row_names, *col_names}, value, left_out, marks)
    values, done, planned, best, tied = (
        part.rename_axis(index=",".join(row_names), columns=",".join(col_names))
        for part in (values, done, planned, best, tied)
    )
    return Matrix(values, done, planned, best, tied, weak, value, caption)


def _names(frame: pd.DataFrame, asked: str | Sequence[str], where: str) -> list[str]:
    names = [name.strip() for name in asked.split(",")] if isinstance(asked, str) else list(asked)
    known = ["aggregator", "attack", "assumed_f", "f", "seed", "status", "told", "knowledge", "category"]
    known += ["knows_defence", "adaptive", "detector", *settings(frame)]
    for name in names:
        if name not in known:
            raise UsageError(f"Unknown column {name!r} in {where}. {among(name, known)}")
    return names


def _check_value(value: str) -> None:
    if value not in VALUES:
        raise UsageError(f"Unknown value {value!r}. {among(value, sorted(VALUES))}")


def _refuse_shared(rows: list[str], cols: list[str]) -> None:
    names = rows + cols
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"Column {twice[0]!r} is asked for twice in rows and cols. Name it once.")


def _comparable(table: pd.DataFrame, axes: set[str]) -> tuple[pd.DataFrame, list[str]]:
    """Drop what must not be averaged with the rest; say what was dropped."""
    drops: list[tuple[str, pd.Series]] = []
    if "attack" not in axes:
        drops.append(("the attack none", table["attack"] == CLEAN))
        if "adaptive" not in axes:
            drops.append(("adaptive attacks", table["adaptive"]))
    if "malicious" not in axes:
        drops.append(("cells without malicious clients", table["malicious"] == 0))
    drops.append(("cells infeasible for every rule", beyond_all(table)))
    left_out: list[str] = []
    for what, drop in drops:
        if drop.any() and not drop.all():
            table, left_out = table[~drop.reindex(table.index)], [*left_out, what]
    return table, left_out


def _joined(table: pd.DataFrame, names: list[str]) -> pd.Series:
    texts = [_text(table[name]) for name in names]
    joined = texts[0]
    for text in texts[1:]:
        joined = joined + ", " + text
    return joined


def _text(column: pd.Series) -> pd.Series:
    shown = {value: _label(value) for value in column.dropna().unique()}
    return column.astype(object).map(shown).fillna("none").astype(str)


def _label(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _ordered(table: pd.DataFrame, column: str, names: list[str]) -> list[str]:
    """Return labels in order: numbers by size, the attack none first, the rest by the alphabet."""
    firsts = table.drop_duplicates(column)
    keys = [tuple(_rank(value) for value in row) for row in firsts[names].itertuples(index=False)]
    return [label for _, label in sorted(zip(keys, firsts[column], strict=True))]


def _rank(value: object) -> tuple[int, float, str]:
    if pd.isna(value) or value == CLEAN:
        return (0, 0.0, "")
    if isinstance(value, int | float | np.number):
        return (1, float(value), "")
    return (2, 0.0, str(value))


def _compared(
    table: pd.DataFrame,
    values: pd.DataFrame,
    incomplete: pd.DataFrame,
    value: str,
    rows: list[str],
    cols: list[str],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return which values are the best among rules that met the same, and which are tied to it."""
    best = pd.DataFrame(False, index=values.index, columns=values.columns)
    tied = best.copy()
    if "aggregator" not in {*rows, *cols} or value not in JUDGED:
        return best, tied
    if "aggregator" in cols:
        flipped = _compared(table.rename(columns={"_row": "_col", "_col": "_row"}), values.T, incomplete.T,
                            value, cols, rows)  # fmt: skip
        return flipped[0].T, flipped[1].T
    baselines = set(table.loc[~table["ranked"], "_row"])
    fit = values.mask(incomplete).drop(index=[row for row in values.index if row in baselines])
    for column in fit.columns:
        entries = (sign(value) * fit[column]).dropna()
        if len(entries) < 2:
            continue
        best.loc[entries.index[entries >= entries.max() - 1e-12], column] = True
        tied.loc[_tied(table[table["_col"] == column], entries, value), column] = True
    return best, tied


def _tied(cells: pd.DataFrame, entries: pd.Series, value: str) -> list[str]:
    """Return the rows whose paired difference to the best row does not exclude 0."""
    means = cells.groupby(["_row", "_setting", "seed"])[value].mean()
    axes = [entries.index, *(sorted(cells[name].unique()) for name in ("_setting", "seed"))]
    dense = means.reindex(pd.MultiIndex.from_product(axes)).to_numpy(dtype=float)
    by_seed = dict(zip(entries.index, dense.reshape(tuple(map(len, axes))), strict=True))
    leader = entries.idxmax()
    found = []
    for row in entries.index.drop(leader):
        gaps = by_seed[leader] - by_seed[row]
        gaps = gaps[~np.isnan(gaps).all(axis=1)]
        if gaps.shape[-1] > 1 and len(gaps) and not np.isnan(gaps).any():
            _, low, high = mean_interval(gaps[:, None])
            if low <= 0 <= high:
                found.append(row)
    return [*found, leader] if found else []


def _ineffective(table: pd.DataFrame, axis: str, axes: set[str], found: pd.DataFrame) -> frozenset[str]:
    """Return the labels along `axis` under which no attack hurts plain averaging."""
    if "attack" not in axes or found.empty:
        return frozenset()
    met = table[[axis, "_setting", "attack"]].drop_duplicates()
    met = met.merge(found[["_setting", "attack", "effective"]], on=["_setting", "attack"])
    hurt = met["effective"].astype(bool).groupby(met[axis]).any()
    return frozenset(hurt.index[~hurt])


def _uncredited(marked: pd.DataFrame, weak: frozenset[str]) -> pd.DataFrame:
    """Unmark what stands under an attack that hurts nobody."""
    return marked & ~marked.columns.isin(weak)[None, :] & ~marked.index.isin(weak)[:, None]


def _caption(table: pd.DataFrame, fixed: set[str], value: str, left_out: list[str], marks: list[str]) -> str:
    free = ["aggregator", "attack", "assumed_f", *settings(table)]
    over = [name for name in free if name not in {*fixed, value} and table[name].nunique() > 1]
    runs = captions.seeds(table)
    sentences = [
        f"{value}, mean over {', '.join([*over, runs])}." if over else f"{value}, mean over {runs}.",
        *([f"Left out: {', '.join(left_out)}."] if left_out else []),
        *(["n=1, no interval."] if table["seed"].nunique() == 1 else []),
        "– no cell, or the value does not apply; * fewer cells than planned.",
        *marks,
        *captions.mixed(table),
        captions.origin(table),
    ]
    return " ".join(sentences)
