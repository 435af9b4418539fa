"""Any table as aligned text, Markdown, CSV, JSON, LaTeX or HTML.

People get percentages with one decimal, readable headers, intervals in brackets and a caption;
programs (CSV, JSON) get fractions, raw column names and nothing merged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias, cast

import pandas as pd

from robustbench_fl.analysis.columns import DASH, LEAST_FIRST, WIDE, bounds, column, number, without_bounds
from robustbench_fl.analysis.compare import Comparison
from robustbench_fl.analysis.leaderboard import Leaderboard
from robustbench_fl.analysis.matrix import Matrix
from robustbench_fl.analysis.table import Sections, Table, explaining
from robustbench_fl.analysis.tracks import TRACKS
from robustbench_fl.core.errors import UsageError, among
from robustbench_fl.core.foreign import in_csv, on_terminal
from robustbench_fl.report.text import WRITERS, Text, side_by_side, terminal, titled

FORMATS = ("table", "md", "csv", "json", "latex", "html")
Renderable: TypeAlias = Table | Sections | Matrix | pd.DataFrame
_RANK = "rank"
_MORE = "More columns: --wide."
ALWAYS = ("track", "aggregator")
"""Columns of a leaderboard that are there whatever is wanted."""


def render(
    table: Renderable,
    format_: str = "table",
    wide: bool | None = None,
    bold: bool = False,
    width: int | None = None,
    columns: Sequence[str] = (),
) -> str:
    """Return `table` as text.

    Parameters
    ----------
    table : Table, Sections, Matrix or pandas.DataFrame
        What to print.
    format_ : {"table", "md", "csv", "json", "latex", "html"}, optional
        ``table`` is for a terminal; ``latex`` is a booktabs tabular, ``html`` a table element.
    wide : bool, optional
        Whether a leaderboard has all its columns; by default it has, but not on a terminal. CSV and
        JSON always have all.
    bold : bool, optional
        Whether the best entries for a terminal are set in bold, with escape codes.
    width : int, optional
        Of the terminal. Columns for which there is no room are left out, the least important first,
        and named below; a matrix is continued below instead.
    columns : sequence of str, optional
        The columns of a leaderboard that are wanted, in this order after the rule, in every format.

    Returns
    -------
    str
        Without a newline at its end.

    Raises
    ------
    UsageError
        If the format is unknown, or a column is.
    """
    if format_ not in FORMATS:
        raise UsageError(f"Unknown format {format_!r}. {among(format_, FORMATS)}")
    if isinstance(table, pd.DataFrame):
        table = table[[name for name in table if not str(name).startswith("_")]]
    columns = [name for name in columns if name not in ALWAYS]
    _check_columns(table, columns)
    if columns and format_ in ("csv", "json"):
        table = _chosen(table, columns)
    if format_ == "csv":
        return csv(table)
    if format_ == "json":
        return on_terminal(json.dumps(_plain(table), indent=2, ensure_ascii=False, allow_nan=False))
    shown_whole = bool(columns) or (format_ != "table" if wide is None else wide)
    width = width if format_ == "table" and not wide and not columns else None
    hidden = WIDE if not shown_whole and _are_leaderboards(table) else frozenset[str]()
    if isinstance(table, Leaderboard):
        return _sections(Sections((), (((), table),)), format_, hidden, width, columns)
    if isinstance(table, Sections):
        return _sections(table, format_, hidden, width, columns)
    if format_ == "table":
        text = readable(table)
        if isinstance(table, Table) and (dropped := _no_room([table], frozenset(), width)):
            text = _table(table, frozenset(dropped), (*table.sentences, _left_out(dropped)))
        return terminal(text, bold, width)
    return WRITERS[format_](readable(table))


def csv(table: Renderable) -> str:
    """Return `table` as CSV: raw names, fractions, empty where there is nothing."""
    if isinstance(table, Matrix):
        covered = [
            f"{done}/{planned}"
            for done, planned in zip(table.done.sum(axis=1), table.planned.sum(axis=1), strict=True)
        ]
        data = table.values.assign(coverage=covered).reset_index()
    elif isinstance(table, Sections):
        data = pd.concat([_labelled(table.by, *part) for part in table.parts], ignore_index=True)
    else:
        data = table.table if isinstance(table, Table) else table
    texts = data.select_dtypes(exclude=["number", "bool"])
    data = data.assign(**{name: column.map(in_csv) for name, column in texts.items()})
    return str(data.rename(columns=in_csv).to_csv(index=False, lineterminator="\n")).rstrip("\n")


def _labelled(by: tuple[str, ...], labels: tuple[object, ...], part: Table) -> pd.DataFrame:
    """Return the rows of a section with its labels in front."""
    data = part.table.copy()
    for place, (name, label) in enumerate(zip(by, labels, strict=True)):
        data.insert(place, f"by_{name}" if name in data else name, label)
    return data


def readable(table: Table | Matrix | pd.DataFrame) -> Text:
    """Return `table` as people read it."""
    if isinstance(table, Matrix):
        return _matrix(table)
    if isinstance(table, Table):
        return _table(table, frozenset(), table.sentences)
    return _frame(table)


def _chosen(table: Renderable, columns: Sequence[str]) -> Renderable:
    """Return a leaderboard, or its sections, with the wanted columns alone; for programs."""
    if isinstance(table, Sections):
        parts = tuple((labels, cast("Table", _chosen(part, columns))) for labels, part in table.parts)
        return replace(table, parts=parts)
    assert isinstance(table, Table)
    wanted = [*ALWAYS, *(name for one in columns for name in (one, *bounds(one)))]
    sentences = tuple(explaining(table.sentences, wanted.__contains__))
    shown = table.table[[name for name in wanted if name in table.table]]
    return replace(table, table=shown, sentences=sentences)


def _check_columns(table: Renderable, columns: Sequence[str]) -> None:
    boards = [part for _, part in table.parts] if isinstance(table, Sections) else [table]
    for board in boards if columns else ():
        assert isinstance(board, Table)
        known = [name for name in without_bounds(board.table) if name not in (*ALWAYS, "tied")]
        for name in columns:
            if name not in known:
                raise UsageError(f"This leaderboard has no column {name!r}. {among(name, known)}")


def _no_room(tables: list[Table], hidden: frozenset[str], width: int | None) -> list[str]:
    """Return the columns that have to go so that no table is wider than `width`, in their order."""
    dropped: list[str] = []
    if width is None:
        return dropped

    widths = [
        dict(zip(visible(table, hidden), _table(table, hidden, ()).widths, strict=True)) for table in tables
    ]

    def fits(without: list[str]) -> bool:
        kept = ([taken for name, taken in one.items() if name not in without] for one in widths)
        return all(side_by_side(columns) <= width for columns in kept)

    names = [name for name in without_bounds(tables[0].table) if name not in hidden]
    first = [name for name in LEAST_FIRST if name in names]
    others = [name for name in reversed(names[2:]) if name not in LEAST_FIRST]
    for name in (*first, *others):
        if fits(dropped):
            break
        dropped.append(name)
    for name in reversed(dropped):  # there may be room for a short one after all
        if fits([other for other in dropped if other != name]):
            dropped.remove(name)
    return [name for name in names if name in dropped]


def _left_out(dropped: Sequence[str]) -> str:
    titles = ", ".join(column(name).title for name in dropped)
    return f"No room for: {titles}. All columns: --wide."


def _sections(
    table: Sections, format_: str, hidden: frozenset[str], width: int | None, columns: Sequence[str]
) -> str:
    """Return one table for each part, and for each track of a leaderboard; shared sentences at the end."""
    shared = table.shared
    parts = [(labels, part, _tracks(part)) for labels, part in table.parts]
    dropped = _no_room([rows for *_, tracks in parts for _, rows in tracks], hidden, width)
    narrow = frozenset(dropped)

    def said(sentences: Sequence[str]) -> list[str]:
        is_shown = columns.__contains__ if columns else lambda name: name not in hidden | narrow
        return explaining(sentences, is_shown)

    def written(text: Text) -> str:
        return terminal(text, width=width) if format_ == "table" else WRITERS[format_](text)

    texts = []
    for labels, part, tracks in parts:
        own = [sentence for sentence in part.sentences if sentence not in shared]
        named = ", ".join(f"{name} {_label(label)}" for name, label in zip(table.by, labels, strict=True))
        for title, rows in tracks:
            whole = titled(": ".join(filter(None, (named, title))), format_)
            texts += [whole, written(_table(rows, narrow | hidden, (), columns))]
        if own := said(own):
            texts.append(written(Text([], [], [], " ".join(own))))
    sentences = said(shared)
    if dropped:
        sentences.append(_left_out(dropped))
    elif any(hidden.intersection(visible(rows)) for *_, tracks in parts for _, rows in tracks):
        sentences.append(_MORE)
    return "\n\n".join([*texts, written(Text([], [], [], " ".join(sentences)))])


def _are_leaderboards(table: Renderable) -> bool:
    parts = [part for _, part in table.parts] if isinstance(table, Sections) else [table]
    return all(isinstance(part, Leaderboard) for part in parts)


def _tracks(table: Table) -> list[tuple[str, Table]]:
    """Return a leaderboard's tracks with their titles; of other tables the table itself."""
    if not isinstance(table, Leaderboard):
        return [("", table)]
    if not table.tracks:
        return [("Baselines", table)]
    return [
        (f"Track {track}, the server knows {TRACKS[track]}", table if table.only else table.of_track(track))
        for track in table.tracks
    ]


def _label(label: object) -> str:
    return f"{label:g}" if isinstance(label, float) else str(label)


def _table(
    table: Table, hidden: frozenset[str], sentences: tuple[str, ...], wanted: Sequence[str] = ()
) -> Text:
    data = table.table
    if wanted:
        names = ["aggregator", *wanted]
        return _text(data, names, [_column(data, name) for name in names], " ".join(sentences))
    names = visible(table, hidden)
    columns = [_column(data, name) for name in names]
    return _text(data, names, columns, " ".join(explaining(sentences, lambda name: name not in hidden)))


def visible(table: Table, hidden: frozenset[str] = frozenset()) -> list[str]:
    """Return the columns of a table that people see: intervals stand with their values, none is empty."""
    left_out = hidden | {"tied"} | ({"track"} if isinstance(table, Leaderboard) else set())
    names = without_bounds(table.table)
    return [name for name in names if name not in left_out and not _empty(table.table[name])]


def _column(data: pd.DataFrame, name: str) -> list[str]:
    shown = _shown(data, name)
    if name == _RANK and "tied" in data:
        shown = [f"{text}{'=' if tied else ''}" for text, tied in zip(shown, data["tied"], strict=True)]
    low, high = bounds(name)
    if low not in data:
        return shown
    show = number(name)
    return [
        text if pd.isna(left) else f"{text} [{show(left)}, {show(right)}]"
        for text, left, right in zip(shown, data[low], data[high], strict=True)
    ]


def _matrix(table: Matrix) -> Text:
    show = number(table.value)
    rows, bold = [], set()
    for i, label in enumerate(table.values.index):
        entries = [_weak(label, table)]
        for j in range(len(table.values.columns)):
            value, incomplete = table.values.iat[i, j], bool(table.incomplete.iat[i, j])
            marks = "*" * (incomplete and pd.notna(value)) + "=" * bool(table.tied.iat[i, j])
            entries.append(show(value) + marks)
            if table.best.iat[i, j]:
                bold.add((i, j + 1))
        rows.append(entries)
    headers = [", ".join(column(name).header for name in str(table.values.index.name).split(","))]
    headers += [_weak(label, table) for label in table.values.columns]
    unit = " In percent." if column(table.value).is_percent else ""
    numeric = [False] + [True] * (len(headers) - 1)
    return Text(headers, rows, numeric, table.caption + unit, bold, "Bold: best rule." if bold else "")


def _weak(label: str, table: Matrix) -> str:
    return f"{label}†" if label in table.ineffective else str(label)


def _frame(data: pd.DataFrame) -> Text:
    names = list(data.columns)
    return _text(data, names, [_shown(data, name) for name in names], "")


def _text(data: pd.DataFrame, names: list[str], columns: list[list[str]], caption: str) -> Text:
    numeric = [pd.api.types.is_numeric_dtype(data[name]) for name in names]
    rows = [list(entries) for entries in zip(*columns, strict=True)]
    return Text([column(name).header for name in names], rows, numeric, caption)


def _shown(data: pd.DataFrame, name: str) -> list[str]:
    values = data[name]
    if pd.api.types.is_bool_dtype(values):
        return ["yes" if value else "no" for value in values]
    if pd.api.types.is_numeric_dtype(values):
        return list(map(number(name), values))
    return [DASH if pd.isna(value) else str(value) for value in values]


def _empty(values: pd.Series) -> bool:
    if values.isna().all():
        return True
    return not pd.api.types.is_numeric_dtype(values) and bool((values.astype(str) == "").all())


def _plain(table: Renderable) -> dict[str, Any]:
    if isinstance(table, Table):
        names = {"rank_column": table.rank_column, "score_column": table.score_column}
        further: dict[str, Any] = {}
        if isinstance(table, Comparison):
            further = {"regressions": table.regressions, "only_a": table.only_a, "only_b": table.only_b}
        if isinstance(table, Leaderboard):
            further = {"flags": [vars(flag) for flag in table.flags]}
        return {"caption": table.caption, **names, "rows": _records(table.table), **further}
    if isinstance(table, Sections):
        parts = [
            {name: _json(label) for name, label in zip(table.by, labels, strict=True)} | _plain(part)
            for labels, part in table.parts
        ]
        return {"by": list(table.by), "sections": parts}
    if isinstance(table, Matrix):
        named = {"rows": table.values.index.name, "cols": table.values.columns.name}
        return {"caption": table.caption, "value": table.value, **named, "cells": _entries(table)}
    return {"rows": _records(table)}


def _entries(table: Matrix) -> list[dict[str, Any]]:
    parts = {"value": table.values, "done": table.done, "planned": table.planned}
    parts |= {"best": table.best, "tied": table.tied}
    return [
        {"row": row, "col": col} | {name: _json(part.iat[i, j]) for name, part in parts.items()}
        for i, row in enumerate(table.values.index)
        for j, col in enumerate(table.values.columns)
    ]


def _records(data: pd.DataFrame) -> list[dict[str, Any]]:
    return [{name: _json(value) for name, value in row.items()} for row in data.to_dict("records")]


def _json(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value
