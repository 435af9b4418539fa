"""What the page knows: every cell's numbers, what tells the cells apart, and the finished leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from robustbench_fl.analysis import captions, scores
from robustbench_fl.analysis.attack_effect import PLAIN
from robustbench_fl.analysis.blocks import completed
from robustbench_fl.analysis.bootstrap import paired_draws
from robustbench_fl.analysis.columns import bounds, column, without_bounds
from robustbench_fl.analysis.coverage import Missing
from robustbench_fl.analysis.estimators import halves
from robustbench_fl.analysis.frame import frame, settings
from robustbench_fl.analysis.leaderboard import Leaderboard, leaderboard
from robustbench_fl.report.page.details import details
from robustbench_fl.report.page.packing import coded, numbers

Command = Callable[[Any], str]
"""Returns the command line that makes the cell of a record again."""
_MAIN = ("dataset", "partition", "malicious")
_TITLES = {"dataset": "Data set", "partition": "Partition", "malicious": "Malicious clients"}
_VALUES = (
    *("accuracy", "accuracy_std", "worst_class_accuracy", "attack_success", "tpr", "fpr", "dacc", "auc"),
    *("server_ms", "peak_memory_mb"),
)
_MOST_DRAWN = 600
"""Worlds times seeds whose resamples travel in the page."""
_BIASED = "worst_accuracy"


def payload(records: Sequence[Mapping[str, Any]], missing: Missing, command: Command) -> dict[str, Any]:
    """Return everything the page computes from and shows.

    Parameters
    ----------
    records : sequence of mappings
        One record for every planned cell.
    missing : {"exclude", "worst", "zero"}
        Policy of the leaderboard.
    command : callable
        Returns the command line that makes the cell of a record again.

    Returns
    -------
    dict
        Plain data. ``cells`` are columns over the completed grid: the planned cells, then the holes
        that nobody planned (without a key).

    Raises
    ------
    UsageError
        If there is no cell, or two cells agree in every setting.
    IdentityError
        If stored numbers contradict each other.
    """
    cells = frame(records)
    board = leaderboard(cells, missing)
    table = completed(cells)
    rules, attacks = _names(table, "aggregator"), _names(table, "attack")
    return {
        "cells": _cells(table, rules, attacks),
        "rules": [_rule(table, name) for name in rules],
        "attacks": [_attack(table, name) for name in attacks],
        "assumed": _assumed(table),
        "filters": _filters(table),
        "malicious": _by_world(table, "malicious"),
        "effective": _effective(board.effects, attacks),
        "draws": _draws(table),
        "paired": _paired(table),
        "halves": {str(n): halves(n).tolist() for n in _seed_counts(table)},
        "board": _board(board),
        "missing": missing,
        "plain": rules.index(PLAIN) if PLAIN in rules else None,
        "texts": {"sort": dict(captions.SORT), "policy": captions.POLICY[missing]},
        "details": details(records, command),
    }


def _names(table: pd.DataFrame, column: str) -> list[str]:
    return sorted(table[column].unique())


def _assumed(table: pd.DataFrame) -> list[str]:
    """Return what rules are told of f; the first, ``""``, stands for those told nothing."""
    return ["", *sorted({str(value) for value in table["_assumed"]} - {""})]


def _cells(table: pd.DataFrame, rules: list[str], attacks: list[str]) -> dict[str, Any]:
    assumed = _assumed(table)
    return {
        "key": ["" if pd.isna(key) else str(key) for key in table["key"]],
        "world": [int(world) for world in table["_world"]],
        "rule": [rules.index(name) for name in table["aggregator"]],
        "attack": [attacks.index(name) for name in table["attack"]],
        "assumed": [assumed.index(str(name)) for name in table["_assumed"]],
        "seed": [int(seed) for seed in table["seed"]],
        "status": coded(list(table["status"])),
        **{name: numbers(table[name]) for name in _VALUES},
    }


def _rule(table: pd.DataFrame, name: str) -> dict[str, Any]:
    first = table[table["aggregator"] == name].iloc[0]
    told = [] if first["told"] == "nothing" else str(first["told"]).split(", ")
    return {"name": name, "told": told, "detector": bool(first["detector"]), "ranked": bool(first["ranked"])}


def _attack(table: pd.DataFrame, name: str) -> dict[str, Any]:
    first = table[table["attack"] == name].iloc[0]
    facts = {"category": str(first["category"]), "knowledge": str(first["knowledge"])}
    flags = {"adaptive": bool(first["adaptive"]), "knows_defence": bool(first["knows_defence"])}
    return {"name": name, **facts, **flags}


def _by_world(table: pd.DataFrame, column: str) -> list[Any]:
    return [float(value) for value in table.groupby("_world")[column].first()]


def _filters(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the settings that tell worlds apart, with the value of each world."""
    worlds = table.drop_duplicates("_world").sort_values("_world")
    found = []
    for name in (*_MAIN, *(name for name in settings(table) if name not in _MAIN)):
        texts = [_text(name, value) for value in worlds[name]]
        if len(set(texts)) > 1:
            order = _in_order(worlds[name], texts)
            title = _TITLES.get(name, name.replace("_", " ").capitalize())
            values = [order.index(text) for text in texts]
            found.append({"name": name, "title": title, "labels": order, "worlds": values})
    return found


def _text(name: str, value: object) -> str:
    if pd.isna(value):
        return "none"
    if name == "malicious":
        return f"{100 * float(str(value)):.3g} %"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _in_order(values: pd.Series, texts: list[str]) -> list[str]:
    by_text = dict(zip(texts, values, strict=True))
    if pd.api.types.is_numeric_dtype(values):
        return sorted(by_text, key=lambda text: (pd.notna(by_text[text]), by_text[text]))
    return sorted(by_text)


def _effective(found: pd.DataFrame, attacks: list[str]) -> list[list[int]]:
    """Return ``[world, attack, whether it hurts plain averaging]`` wherever that is known."""
    known = zip(found["_world"], found["attack"], found["effective"], strict=True)
    return [[int(world), attacks.index(attack), int(effective)] for world, attack, effective in known]


def _seed_counts(table: pd.DataFrame) -> list[int]:
    counts = scores.attacked(table).groupby(["_world", "attack"])["seed"].nunique()
    return sorted({int(n) for n in counts if n > 1})


def _draws(table: pd.DataFrame) -> dict[str, str]:
    """Return for every world and number of seeds how often each seed is drawn, a character a count.

    They are the very resamples of the tables, so that intervals and ties under a filter are too.
    """
    found = {}
    for world, cells in scores.attacked(table).groupby("_world"):
        for n in _seed_counts(cells):
            counts = scores.draws(cells, n).astype(int)
            found[f"{world}:{n}"] = "".join(chr(48 + count) for count in counts.ravel())
    return found


def _paired(table: pd.DataFrame) -> dict[str, Any] | None:
    """Return the resamples by which the matrix judges ties, for worlds with equally many seeds.

    Those of the first worlds are the same however many worlds follow, so they serve every filter.
    None where the numbers of seeds differ, there is one seed, or the draws would fill the page.
    """
    counts = set(table.groupby("_world")["seed"].nunique())
    n_worlds, n_seeds = table["_world"].nunique(), max(counts)
    if len(counts) > 1 or n_seeds == 1 or n_worlds * n_seeds > _MOST_DRAWN:
        return None
    drawn = paired_draws(n_seeds, n_worlds).astype(int)
    return {"seeds": n_seeds, "draws": ["".join(chr(48 + k) for k in world.ravel()) for world in drawn]}


def _board(board: Leaderboard) -> dict[str, Any]:
    table = board.table
    shown = [name for name in without_bounds(table) if name != "tied"]
    kept = table.astype(object).where(table.notna(), None)
    rows = [{name: _plain(value) for name, value in row.items()} for row in kept.to_dict("records")]
    columns = [_column(table, str(name)) for name in shown if _says(table[name])]
    return {"columns": columns, "rows": rows, "score": board.score_column, "caption": board.caption}


def _column(table: pd.DataFrame, name: str) -> dict[str, Any]:
    known, low = column(name), bounds(name)[0]
    numeric = pd.api.types.is_numeric_dtype(table[name])
    few = not numeric or known.better == "lower"
    return {
        "name": name,
        "title": known.header,
        "kind": "percent" if known.is_percent else "number" if numeric else "text",
        "interval": low.removesuffix("_low") if low in table and name != _BIASED else None,
        "first": "ascending" if few else "descending",
    }


def _says(values: pd.Series) -> bool:
    return bool(values.notna().any() and (values.astype(str) != "").any())


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
