"""``status``: how many cells are done, missing, failed; once, or until nothing is missing."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.cli.answers import of_folders
from robustbench_fl.cli.options import folder_argument
from robustbench_fl.cli.output import format_option, rows_text, terminal_width
from robustbench_fl.cli.saying import say
from robustbench_fl.core.counted import counted
from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.store import Store

_SECONDS = 2.0


@click.command()
@folder_argument
@click.option("--watch", is_flag=True, help="Repeat every few seconds until no cell is missing.")
@format_option
def status(folder: Path, watch: bool, format_: str) -> None:
    """Show how many cells of a sweep are done, missing, failed, by aggregator.

    With --watch a terminal shows the table again and again; elsewhere every change is a line. It ends
    when no cell is missing.
    """
    from robustbench_fl.sweep.replan import existing

    store = existing(folder)
    if not watch:
        say(of_folders((folder,), lambda: _text(store, format_), terminal_width()))
        if format_ == "table":
            _tell_runs(store)
        return
    if format_ != "table":
        raise UsageError("--watch shows a table. Give --format without --watch.")
    _watch(store)


def _tell_runs(store: Store) -> None:
    """Print whose sweeps are running into the folder, and since when."""
    from robustbench_fl.store.claims import running

    for number, (run, cells) in enumerate(running(store.folder)):
        say(f"{'' if number else chr(10)}Running: {run}, {counted(cells, 'cell')} at work")


def _text(store: Store, format_: str) -> str:
    """Return the counts and, below a table, what makes a comparison of the finished cells suspect."""
    if format_ != "table":
        return rows_text(_rows(_counts(store.summaries())), format_)
    from robustbench_fl.analysis.flags import flags
    from robustbench_fl.analysis.frame import frame

    records = store.records()
    counts = rows_text(_rows(_counts(records)), format_)
    found = [f"Flag: {flag.text}" for flag in flags(frame(records))]
    return "\n".join([counts, "", *found] if found else [counts])


def _watch(store: Store) -> None:
    terminal = sys.stdout.isatty()
    said = None
    while True:
        counts = _counts(store.summaries())
        line = _line(counts["all"], store)
        if terminal:
            click.clear()
            say(f"{rows_text(_rows(counts), 'table')}\n\n{line}")
        elif line != said:
            say(line)
            sys.stdout.flush()
        said = line
        if not counts["all"]["missing"]:
            return
        time.sleep(_SECONDS)


def _counts(records: Iterable[dict[str, Any]]) -> dict[str, Counter[str]]:
    """Return the number of cells by aggregator and status, all together last."""
    counts: dict[str, Counter[str]] = {}
    for row in records:
        counts.setdefault(row["labels"]["aggregator"], Counter())[row["status"]] += 1
    counts["all"] = sum(counts.values(), Counter())
    return counts


def _rows(counts: dict[str, Counter[str]]) -> list[dict[str, Any]]:
    statuses = sorted(counts["all"])
    return [{"aggregator": rule, **{s: count[s] for s in statuses}} for rule, count in counts.items()]


def _line(counts: Counter[str], store: Store) -> str:
    from robustbench_fl.store.claims import running

    total = counts.total()
    parts = [f"{total - counts['missing']} of {counted(total, 'cell')} stored"]
    parts += [f"{count} {status}" for status, count in sorted(counts.items()) if status != "missing"]
    if now := sum(cells for _, cells in running(store.folder)):
        parts.append(f"{now} running")
    return ", ".join(parts)
