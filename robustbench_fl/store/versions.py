"""Versions of what computes a cell: the same cell under others, and which of two is later."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from robustbench_fl.core.foreign import command
from robustbench_fl.core.status import FINAL, MISSING
from robustbench_fl.store.aside import warn
from robustbench_fl.store.plan_file import PLAN
from robustbench_fl.store.stale import CodeOfPlugins


class Held(Protocol):
    """What is asked of a folder: a :class:`~robustbench_fl.store.Store`."""

    folder: Path
    code: CodeOfPlugins

    def statuses(self) -> dict[str, str]:
        """Return the status of every stored cell by key."""

    def summary(self, key: str) -> dict[str, Any] | None:
        """Return a record without its long parts."""


_OWN = ("schema", "engine")
"""Versions of the identity itself and of the simulation."""


def without_versions(row: Mapping[str, Any]) -> str:
    """Return what a planned cell is, apart from the versions of what computes it."""
    cell = {name: value for name, value in row["cell"].items() if name not in _OWN}
    return json.dumps([_bare(cell), row["labels"]], sort_keys=True)


def outdated(store: Held, rows: list[dict[str, Any]] | None = None) -> str:
    """Return in what the plan of a folder is older than its finished cells, nothing if it is not.

    Parameters
    ----------
    store : Held
        Of the folder.
    rows : list of dict, optional
        What it holds of each planned cell, if that has been read.
    """
    if rows is None:
        store.statuses()
        rows = list(store.code.rows(lambda row: store.summary(row["key"])))
    missing = [row for row in rows if row["status"] == MISSING]
    if not missing:
        return ""
    planned = {row["key"] for row in rows}
    unplanned = [key for key, status in store.statuses().items() if status in FINAL and key not in planned]
    found = {without_versions(one): one["cell"] for one in filter(None, map(store.summary, unplanned))}
    same = ((row["cell"], found.get(without_versions(row))) for row in missing if found)
    count = sum(other is not None and _is_later(other, cell) for cell, other in same)
    return f"names earlier versions of {count} cells than they were run with" if count else ""


def told(store: Held, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return `rows`, what a folder holds of each planned cell, and warn if its plan is :func:`outdated`."""
    if why := outdated(store, rows):
        hint = command("robustbench-fl", "recover", store.folder)
        warn(f"{PLAN} in {str(store.folder)!r} {why}. `{hint}` makes it anew.")
    return rows


def _is_later(cell: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    pairs = list(zip(_versions(cell), _versions(other), strict=False))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def _versions(value: Any, name: str = "") -> Iterator[int]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _versions(value[key], key)
    elif isinstance(value, list):
        for item in value:
            yield from _versions(item)
    elif name in (*_OWN, "version") and type(value) is int:
        yield value


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _bare(item) for name, item in value.items() if name != "version"}
    return [_bare(item) for item in value] if isinstance(value, list) else value
