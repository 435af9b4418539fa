"""A table for each value of some columns: by data set, by alpha, by fraction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from robustbench_fl.analysis.frame import settings
from robustbench_fl.analysis.table import Sections, Table
from robustbench_fl.core.errors import UsageError, among

ALIASES = {"fraction": "malicious"}
"""Names by which people know a column."""


ATTACK = ("attack", "category", "knowledge")
"""Columns of the attack, for tables that do not compare attacks."""


def sections(
    frame: pd.DataFrame, by: str, make: Callable[[pd.DataFrame], Table], further: Sequence[str] = ()
) -> Sections:
    """Return what `make` makes of the cells of each value of the columns `by`.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`.
    by : str
        Columns separated by commas: ``dataset``, ``alpha``, ``fraction`` (the share of malicious
        clients), ``assumed_f`` (rules that are not told f stand under each that their setting has) or
        any other setting of the cells.
    make : callable
        From a frame to a table.
    further : sequence of str, optional
        Columns that `by` may name beside settings.

    Raises
    ------
    UsageError
        If a column does not exist or is given twice, or there is no cell.
    """
    names = _names(frame, by, further)
    if frame.empty:
        raise UsageError("There is no cell to compare: the frame is empty. Run the sweep first.")
    columns = [ALIASES.get(name, name) for name in names]
    parts = [
        (tuple(map(_known, labels)), make(cells.reset_index(drop=True)))
        for labels, cells in _standing(frame, columns).groupby(columns, dropna=False, sort=True)
    ]
    return Sections(tuple(names), tuple(parts))


def _standing(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return `frame` with the rules that are not told f repeated for each f that their setting has."""
    if "assumed_f" not in columns or frame["assumed_f"].nunique() == 0:
        return frame
    place = frame.groupby(settings(frame), dropna=False, sort=False).ngroup()
    is_told = frame["assumed_f"].notna()
    of_setting = frame.loc[is_told, "assumed_f"].groupby(place[is_told]).unique()
    repeated = frame.assign(
        assumed_f=[
            [value] if told else list(of_setting.get(number, [None]))
            for value, told, number in zip(frame["assumed_f"], is_told, place, strict=True)
        ]
    )
    return repeated.explode("assumed_f", ignore_index=True)


def _names(frame: pd.DataFrame, by: str, further: Sequence[str]) -> list[str]:
    names = [name.strip() for name in by.split(",")]
    known = [*ALIASES, "alpha", "assumed_f", *further, *settings(frame)]
    for name in names:
        if name not in known:
            raise UsageError(f"Unknown column {name!r} in --by. {among(name, known)}")
    columns = [ALIASES.get(name, name) for name in names]
    if len(set(columns)) < len(columns):
        raise UsageError(f"--by {by} names a column twice. Name it once.")
    return names


def _known(label: Any) -> object:
    return "none" if pd.isna(label) else label
