"""What ``plan`` prints: the axes, the infeasible cells, the time it will take."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustbench_fl.store import Store
    from robustbench_fl.sweep import Prepared

_AXES = ("dataset", "model", "partition", "malicious", "assumed_f", "aggregator", "attack", "seed")


def axis_rows(prepared: Prepared) -> list[dict[str, Any]]:
    """Return one row for each value of each axis, with its number of cells."""
    rows = []
    for axis in _AXES:
        counts = Counter(getattr(planned.cell, axis) for planned in prepared.chosen)
        for number, (value, count) in enumerate(counts.items()):
            rows.append({"axis": "" if number else axis, "value": _text(value), "cells": count})
    return rows


def cell_rows(prepared: Prepared) -> list[dict[str, Any]]:
    """Return one row a planned cell."""
    due = {planned.cell.key for planned in prepared.todo}
    return [
        {
            "key": planned.cell.key,
            **planned.cell.labels,
            "malicious": planned.cell.malicious,
            "assumed_f": planned.cell.assumed_f,
            "seed": planned.cell.seed,
            "to_run": planned.cell.key in due,
            "infeasible": planned.infeasible,
        }
        for planned in prepared.chosen
    ]


def infeasible_rows(prepared: Prepared) -> list[dict[str, Any]]:
    """Return how many cells cannot run, by rule, fraction and reason."""
    counts = Counter(
        (planned.cell.aggregator, planned.cell.malicious, _text(planned.cell.assumed_f), planned.infeasible)
        for planned in prepared.chosen
        if planned.infeasible
    )
    return [
        {"aggregator": rule, "malicious": share, "assumed_f": mode, "cells": count, "reason": reason}
        for (rule, share, mode, reason), count in counts.items()
    ]


def estimate_text(prepared: Prepared, store: Store) -> str:
    """Return the CPU time the cells to run will take, from finished cells of the same kind."""
    costs: dict[tuple[Any, ...], list[float]] = {}
    for record in store.stored():
        if record.get("costs"):
            costs.setdefault(_kind(record["labels"], record["cell"]), []).append(
                sum(v for k, v in record["costs"].items() if k.endswith("_seconds"))
            )
    todo = [planned.cell for planned in prepared.todo if planned.infeasible is None]
    if not todo:
        return "Time: nothing to run."
    known = [median(costs[kind]) for cell in todo if (kind := _kind(cell.labels, cell.identity)) in costs]
    if not known:
        return f"Time: unknown for {len(todo)} cells; no finished cell of their kind is in {store.folder}."
    total = sum(known) / len(known) * len(todo)
    basis = f"{len(known)} of {len(todo)} cells have finished ones of their kind"
    return f"Time: about {_duration(total)} of CPU time ({basis})."


def _kind(labels: dict[str, str], cell: Any) -> tuple[Any, ...]:
    methods = (labels["dataset"], labels["model"], labels["aggregator"], labels["attack"])
    return (*methods, cell["clients"], cell["rounds"])


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _text(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
