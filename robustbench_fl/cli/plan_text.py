"""What ``plan`` prints: the axes, the infeasible cells, the estimated time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from robustbench_fl.cli.output import rows_text
from robustbench_fl.cli.saying import say
from robustbench_fl.core.counted import counted

if TYPE_CHECKING:
    from robustbench_fl.store import Store
    from robustbench_fl.sweep.run import Prepared
    from robustbench_fl.sweep.runner.backend import Backend
    from robustbench_fl.sweep.timing import Share, Times

_SHOWN_KINDS = 8
"""Kinds of cells that are shown."""
_AXES = ("dataset", "model", "partition", "malicious", "assumed_f", "aggregator", "attack", "seed")


def plan_text(prepared: Prepared, times: Times, jobs: int, format_: str) -> str:
    """Return what ``plan`` prints: cells as rows, or for people axes, infeasible cells and the time."""
    if format_ != "table":
        return rows_text(_cell_rows(prepared, times), format_)
    parts = [rows_text(_axis_rows(prepared), "table")]
    if refused := _infeasible_rows(prepared):
        parts.append("Infeasible:\n" + rows_text(refused, "table"))
    parts.append(_estimate_text(prepared, times, jobs))
    return "\n\n".join(parts)


def _axis_rows(prepared: Prepared) -> list[dict[str, Any]]:
    """Return one row for each value of each axis, with its number of cells."""
    rows = []
    for axis in _AXES:
        counts = Counter(getattr(planned.cell, axis) for planned in prepared.chosen)
        for number, (value, count) in enumerate(counts.items()):
            rows.append({"axis": "" if number else axis, "value": _text(value), "cells": count})
    return rows


def _cell_rows(prepared: Prepared, times: Times) -> list[dict[str, Any]]:
    """Return one row a planned cell, with the CPU seconds it will take where they are known."""
    due = {planned.cell.key for planned in prepared.pending}
    return [
        {
            "key": planned.cell.key,
            **planned.cell.labels,
            "malicious": planned.cell.malicious,
            "assumed_f": planned.cell.assumed_f,
            "seed": planned.cell.seed,
            "to_run": planned.cell.key in due,
            "seconds": None if planned.infeasible else times.seconds(planned.cell),
            "infeasible": planned.infeasible,
        }
        for planned in prepared.chosen
    ]


def _infeasible_rows(prepared: Prepared) -> list[dict[str, Any]]:
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


def _estimate_text(prepared: Prepared, times: Times, jobs: int) -> str:
    """Return the time the cells to run will take, and which kinds of cells take most of it."""
    from robustbench_fl.cli.durations import duration_text
    from robustbench_fl.sweep.timing import estimate, ordered

    found = estimate(ordered(prepared.pending, times), times, jobs)
    if not found.cells:
        return "Time: nothing to run."
    if not found.known:
        return (
            f"Time: unknown for {counted(found.cells, 'cell')}; none of their kind is finished. "
            "--calibrate runs two rounds of each kind to estimate it."
        )
    workers = counted(jobs, "worker")
    text = (
        f"Time: about {duration_text(found.cpu_seconds)} of CPU time, "
        f"{duration_text(found.wall_seconds)} with {workers}"
    )
    if found.known < found.cells:
        cells = counted(found.cells, "cell")
        text += f" (the kinds of {found.known} of {cells} are known; --calibrate runs the others)"
    rows = [
        {
            **{axis: getattr(share, axis) for axis in _shown_axes(found.shares)},
            "cells": share.cells,
            "a cell": duration_text(share.seconds / share.cells),
            "all": duration_text(share.seconds),
            "share": f"{share.seconds / max(found.cpu_seconds, 1e-9):.0%}",
        }
        for share in found.shares[:_SHOWN_KINDS]
    ]
    kinds = len(found.shares)
    head = f"The {len(rows)} of {kinds} kinds that take most of it:" if kinds > len(rows) else "By kind:"
    return f"{text}.\n\n{head}\n{rows_text(rows, 'table')}"


def times_of(
    prepared: Prepared, store: Store, calibrate: bool = False, backend: Backend | None = None
) -> Times:
    """Return what is known of the times of cells.

    Parameters
    ----------
    prepared : Prepared
        The plan, and what of it is to run.
    store : Store
        The folder with finished cells.
    calibrate : bool
        Whether two rounds of each unknown kind are run on `backend`.
    backend : Backend, optional
        Where.
    """
    from robustbench_fl.sweep.timing import Times, learnt, samples
    from robustbench_fl.sweep.timing import calibrate as run_short

    if not prepared.pending:
        return Times()
    times = learnt(prepared.plan, prepared.statuses, store.summary)
    if calibrate and backend and (short := samples(prepared.pending, times)):
        say(f"Calibrating: two rounds of each of {counted(len(short), 'kind')} of cells.", err=True)
        for failure in run_short(short, times, backend):
            say(f"Not calibrated: {failure}", err=True)
    return times


def _shown_axes(shares: Sequence[Share]) -> list[str]:
    """Return the axes in which the kinds differ; rule and attack always."""
    differing = [axis for axis in ("dataset", "model") if len({getattr(s, axis) for s in shares}) > 1]
    return [*differing, "aggregator", "attack"]


def _text(value: Any) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
