"""What the page shows: the tables of every view, made here, and what stands behind each cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from robustbench_fl.analysis.attack_effect import PLAIN
from robustbench_fl.analysis.blocks import CLEAN, completed
from robustbench_fl.analysis.columns import bounds, column, without_bounds
from robustbench_fl.analysis.coverage import Missing, only_counted
from robustbench_fl.analysis.curves import attack_ends
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import FLAG, Leaderboard, leaderboard
from robustbench_fl.analysis.matrix import Matrix, matrix
from robustbench_fl.analysis.tracks import TRACKS
from robustbench_fl.report.page.details import details
from robustbench_fl.report.page.packing import coded, numbers
from robustbench_fl.report.page.views import View, filters, in_order, title_of, views

Command = Callable[[Any], str]
"""Returns the command line that makes the cell of a record again."""
_VALUES = ("accuracy", "attack_success", "accuracy_loss")
"""What a matrix can show."""
_BEST, _TIED = 1, 2
_MARKS = ("tied", "track")
"""Columns that are shown otherwise."""


def payload(records: Sequence[Mapping[str, Any]], missing: Missing, command: Command) -> dict[str, Any]:
    """Return everything the page shows.

    Parameters
    ----------
    records : sequence of mappings
        One record for every planned cell.
    missing : {"exclude", "worst", "zero"}
        Policy of the leaderboards.
    command : callable
        Returns the command line that makes the cell of a record again.

    Returns
    -------
    dict
        Plain data. ``cells`` are columns over the completed grid: the planned cells, then the holes
        that nobody planned (without a key). ``views`` have one leaderboard a track and their
        matrices.

    Raises
    ------
    UsageError
        If there is no cell, or two cells agree in every setting.
    IdentityError
        If stored numbers contradict each other.
    """
    cells = frame(records)
    whole = leaderboard(cells, missing)
    table = completed(cells)
    rules, attacks = sorted(table["aggregator"].unique()), _attacks(table)
    planned, ends = table[table["key"] != ""], attack_ends(records)
    return {
        "cells": _cells(table, rules, attacks),
        "rules": rules,
        "attacks": [_attack(table, name, ends.get(name)) for name in attacks],
        "assumed": _assumed(table),
        "filters": _filters(table),
        "plain": rules.index(PLAIN) if PLAIN in rules else None,
        "values": {name: _value(name) for name in _VALUES},
        "views": [_view(view, whole if not view.group else None, missing) for view in views(planned)],
        "details": details(records, command),
    }


def _attacks(table: pd.DataFrame) -> list[str]:
    """Return the attack none first, adaptive ones last."""
    facts = table.drop_duplicates("attack").set_index("attack")["adaptive"]
    return sorted(facts.index, key=lambda name: (name != CLEAN, bool(facts[name]), name))


def _assumed(table: pd.DataFrame) -> list[str]:
    """Return the assumed f; the first, ``""``, stands for rules that need none."""
    return ["", *sorted({str(value) for value in table["_assumed"]} - {""})]


def _cells(table: pd.DataFrame, rules: list[str], attacks: list[str]) -> dict[str, Any]:
    assumed = _assumed(table)
    counted = only_counted(table)
    return {
        "key": ["" if pd.isna(key) else str(key) for key in table["key"]],
        "setting": [int(number) for number in table["_setting"]],
        "rule": [rules.index(name) for name in table["aggregator"]],
        "attack": [attacks.index(name) for name in table["attack"]],
        "assumed": [assumed.index(str(name)) for name in table["_assumed"]],
        "seed": [int(seed) for seed in table["seed"]],
        "status": coded(list(table["status"])),
        "accuracy": numbers(counted["accuracy"]),
        "attack_success": numbers(counted["attack_success"]),
    }


def _attack(table: pd.DataFrame, name: str, end: int | None) -> dict[str, Any]:
    first = table[table["attack"] == name].iloc[0]
    sees = f"{first['category']}, sees {first['knowledge']}"
    text = "no attack" if name == CLEAN else f"adaptive, {sees}" if first["adaptive"] else sees
    shown = "none (clean)" if name == CLEAN else name
    return {"name": name, "shown": shown, "text": text, "adaptive": bool(first["adaptive"]), "end": end}


def _filters(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the columns that tell settings apart, with the value of each setting."""
    firsts = table.drop_duplicates("_setting").sort_values("_setting")
    found = []
    for name, texts in filters(firsts).items():
        order = in_order(firsts[name], texts)
        values = [order.index(text) for text in texts]
        found.append({"title": title_of(name), "labels": order, "values": values})
    return found


def _value(name: str) -> dict[str, str]:
    known = column(name)
    return {"title": known.title, "better": known.better}


def _view(view: View, board: Leaderboard | None, missing: Missing) -> dict[str, Any]:
    board = board or leaderboard(view.cells.drop(columns=["_setting", "_assumed"]), missing)
    parts = [board.of_track(track) for track in board.tracks] or [board]
    order = list(board.table["aggregator"])
    worst = dict(zip(order, board.table["worst_accuracy"], strict=True))
    return {
        "group": view.group,
        "title": view.title,
        "settings": view.numbers,
        "assumed": view.assumed,
        "tracks": [
            {"title": _title(track), "rows": _rows(part.table)}
            for track, part in zip(board.tracks or [""], parts, strict=True)
        ],
        "columns": [_column(board.table, name) for name in without_bounds(board.table) if name not in _MARKS],
        "caption": " ".join(text for text in board.sentences if not text.startswith(FLAG)),
        "flags": [flag.text for flag in board.flags],
        "order": order,
        "unranked": list(board.table.loc[board.table["note"] != "", "aggregator"]),
        "worst": numbers(pd.Series([worst[rule] for rule in order])),
        "matrices": dict(_matrices(view, order)),
    }


def _title(track: str) -> str:
    return f"Track {track}: the server knows {TRACKS[track]}" if track else "Baselines"


def _matrices(view: View, order: list[str]) -> Any:
    cells = view.cells.drop(columns=["_setting", "_assumed"])
    for value in _VALUES:
        found = matrix(cells, value=value)
        if found.values.notna().any(axis=None):
            yield value, _matrix(found, order)


def _matrix(found: Matrix, order: list[str]) -> dict[str, Any]:
    rows = [rule for rule in order if rule in found.values.index]
    shown = [name for name in found.values if found.value == "accuracy" or found.values[name].notna().any()]
    marks = _BEST * found.best + _TIED * found.tied
    return {
        "attacks": shown,
        "rules": rows,
        "mean": [numbers(found.values.loc[rule, shown]) for rule in rows],
        "done": found.done.loc[rows, shown].to_numpy().tolist(),
        "planned": found.planned.loc[rows, shown].to_numpy().tolist(),
        "marks": marks.loc[rows, shown].to_numpy().astype(int).tolist(),
        "weak": sorted(found.ineffective & set(shown)),
        "caption": found.caption,
    }


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    kept = table.astype(object).where(table.notna(), None)
    return [{str(name): _plain(value) for name, value in row.items()} for row in kept.to_dict("records")]


def _column(table: pd.DataFrame, name: str) -> dict[str, Any]:
    known, low = column(name), bounds(name)[0]
    numeric = pd.api.types.is_numeric_dtype(table[name])
    few = not numeric or known.better == "lower"
    return {
        "name": name,
        "title": known.header,
        "kind": "percent" if known.is_percent else "number" if numeric else "text",
        "interval": low.removesuffix("_low") if low in table else None,
        "first": "ascending" if few else "descending",
        "wide": known.wide,
    }


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
