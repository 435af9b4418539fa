"""The views of a page: all cells, those of one value of a setting, of one family of attacks, of one block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.frame import settings

_MAIN = ("dataset", "partition", "malicious")
_TITLES = {"dataset": "Data set", "partition": "Partition", "malicious": "Malicious clients"}
_MOST_BLOCKS = 24
"""Blocks that get a view of their own; of more there are only views by setting."""


@dataclass(frozen=True)
class View:
    """Some of the cells of a sweep.

    Attributes
    ----------
    group, title : str
        What is chosen, such as ``"Partition"``, and its value.
    cells : pandas.DataFrame
        The cells, with those under the attack ``none`` always among them.
    numbers : list of int
        Their settings.
    assumed : str
        The f that the server assumes; ``""`` if that is not chosen.
    """

    group: str
    title: str
    cells: pd.DataFrame
    numbers: list[int]
    assumed: str = ""


def views(cells: pd.DataFrame) -> Iterator[View]:
    """Yield the views of `cells`, a completed frame, the whole first."""
    yield _view("", "All cells", cells)
    named = filters(cells)
    for name, texts in named.items():
        for text in in_order(cells[name], texts):
            yield _view(title_of(name), text, cells[texts == text])
    for f in sorted(set(cells["_assumed"]) - {""}) if cells["_assumed"].nunique() > 2 else ():
        here = cells["_setting"].isin(cells.loc[cells["_assumed"] == f, "_setting"])
        yield _view("Assumed f", str(f), cells[here & cells["_assumed"].isin(["", f])], str(f))
    families = sorted(set(cells["category"]) - {"none"})
    for family in families if len(families) > 1 else ():
        kept = (cells["category"] == family) | (cells["attack"] == CLEAN)
        yield _view("Attack family", family, cells[kept])
    if len(named) > 1 and cells["_setting"].nunique() <= _MOST_BLOCKS:
        for _, own in cells.groupby("_setting", sort=True):
            title = ", ".join(str(texts[own.index[0]]) for texts in named.values())
            yield _view("One setting", title, own)


def filters(cells: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the columns that tell settings apart, with the text of each cell's value."""
    found = {}
    for name in (*_MAIN, *(name for name in settings(cells) if name not in _MAIN)):
        texts = cells[name].astype(object).map(lambda value, name=name: _text(name, value), na_action=None)
        if texts.nunique() > 1:
            found[name] = texts
    return found


def title_of(name: str) -> str:
    """Return a setting as a word for people."""
    return _TITLES.get(name, name.replace("_", " ").capitalize())


def in_order(values: pd.Series, texts: pd.Series) -> list[str]:
    """Return the distinct texts: numbers by size, the rest by the alphabet."""
    by_text = dict(zip(texts, values, strict=True))
    if pd.api.types.is_numeric_dtype(values):
        return sorted(by_text, key=lambda text: (pd.notna(by_text[text]), by_text[text]))
    return sorted(by_text)


def _view(group: str, title: str, cells: pd.DataFrame, assumed: str = "") -> View:
    return View(group, title, cells, sorted({int(number) for number in cells["_setting"]}), assumed)


def _text(name: str, value: object) -> str:
    if pd.isna(value):
        return "none"
    if name == "malicious":
        return f"{100 * float(str(value)):.3g} %"
    return f"{value:g}" if isinstance(value, float) else str(value)
