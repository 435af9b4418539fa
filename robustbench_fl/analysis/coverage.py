"""Which cells an aggregate stands on, and what to do about those it lacks."""

from __future__ import annotations

from collections import Counter
from typing import Literal, get_args

import pandas as pd

from robustbench_fl.analysis.blocks import completed, in_blocks
from robustbench_fl.core.errors import UsageError, among
from robustbench_fl.core.status import COUNTED

Missing = Literal["exclude", "worst", "zero"]
"""What to do with a rule that lacks cells.

``exclude``
    Show it, do not rank it.
``worst``
    Give each lacking cell, infeasible ones included, the lowest accuracy that any rule has in
    the same setting (under any attack and seed); rank; mark.
``zero``
    Give each lacking cell, infeasible ones included, the accuracy 0; rank; mark.
"""


def check_policy(missing: str) -> None:
    """Refuse an unknown policy with a suggestion."""
    known = get_args(Missing)
    if missing not in known:
        raise UsageError(f"Unknown policy {missing!r} for missing cells. {among(missing, known)}")


def counted(table: pd.DataFrame) -> pd.Series:
    """Return which rows have an accuracy that counts: ``done``, or ``diverged`` (near chance)."""
    return table["status"].isin(COUNTED) & table["accuracy"].notna()


def only_counted(table: pd.DataFrame) -> pd.DataFrame:
    """Return `table` with the accuracy blanked wherever the status does not let it count."""
    return table.assign(accuracy=table["accuracy"].where(counted(table)))


def counted_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of `frame`, completed, with the accuracies that count alone."""
    return only_counted(completed(frame))


def counted_blocks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return :func:`counted_cells` in blocks."""
    return in_blocks(counted_cells(frame))


def beyond_all(table: pd.DataFrame) -> pd.Series:
    """Return which rows are infeasible for every rule of their setting: these compare nobody."""
    infeasible = table["status"] == "infeasible"
    return infeasible.groupby([table["_setting"], table["attack"]]).transform("all")


def imputed(table: pd.DataFrame, missing: Missing) -> pd.DataFrame:
    """Return `table` with lacking accuracies filled as the policy says, marked in ``_imputed``."""
    lacking = ~counted(table) & ~beyond_all(table)
    if missing == "exclude":
        return table.assign(_imputed=False)
    lowest = table.groupby("_setting")["accuracy"].transform("min") if missing == "worst" else 0.0
    filled = table["accuracy"].mask(lacking, lowest)
    return table.assign(accuracy=filled, _imputed=lacking & filled.notna())


def coverage(table: pd.DataFrame) -> pd.DataFrame:
    """Return per rule what its row stands on.

    Parameters
    ----------
    table : pandas.DataFrame
        A completed frame after :func:`imputed`.

    Returns
    -------
    pandas.DataFrame
        Indexed by rule: ``done`` and ``feasible`` (cells), ``infeasible``, ``diverged``,
        ``imputed``, the text ``coverage`` (``"84/84, 28 infeasible"``) and ``holes``, why the row
        cannot be ranked (``""`` if it can).
    """
    done, infeasible = counted(table), table["status"] == "infeasible"
    cells = pd.DataFrame(
        {
            "done": done,
            "feasible": ~infeasible,
            "infeasible": infeasible,
            "diverged": table["status"] == "diverged",
            "imputed": table["_imputed"],
        }
    )
    found = cells.astype(int).groupby(table["aggregator"]).sum().rename_axis(None)
    found["coverage"] = [_covered(*numbers) for numbers in found.itertuples(index=False)]
    lacking = table.loc[~done & ~table["_imputed"] & ~beyond_all(table), ["aggregator", "status"]]
    holes: dict[str, Counter[str]] = {}
    for rule, status in lacking.itertuples(index=False):
        holes.setdefault(rule, Counter())["without accuracy" if status in COUNTED else status] += 1
    counts = [sorted(holes.get(rule, Counter()).items()) for rule in found.index]
    found["holes"] = [", ".join(f"{count} {status}" for status, count in some) for some in counts]
    return found


def shares(table: pd.DataFrame, by: str) -> pd.Series:
    """Return ``"136/142"``, finished of feasible cells, for each value of the column `by`."""
    feasible = table[table["status"] != "infeasible"]
    done, planned = counted(feasible).groupby(feasible[by]).sum(), feasible.groupby(by).size()
    return done.astype(str) + "/" + planned.astype(str)


def _covered(done: int, feasible: int, infeasible: int, diverged: int, filled: int) -> str:
    text = f"{done}/{feasible}"
    if infeasible:
        text += f", {infeasible} infeasible"
    return f"{text}, {filled} imputed" if filled else text
