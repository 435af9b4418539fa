"""What happens in a run, one JSON object a line; the lines are described in ``docs/running.md``."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

from robustbench_fl.core.files import WriteError
from robustbench_fl.core.record import CellRecord
from robustbench_fl.core.version import __version__
from robustbench_fl.sweep.runner.backend import Event
from robustbench_fl.sweep.runner.observers import Observer, Pace

EVENTS_SCHEMA = 1
"""Raised when the meaning of a key of an event changes."""

EVENT_KINDS = (
    "run_started", "cell_started", "retry", "timeout", "worker_lost", "cell_finished", "run_ended",
)  # fmt: skip
"""Values of ``event``."""


class EventLog(Observer):
    """Appends events to a file; every line is written at once, and whole.

    Parameters
    ----------
    target : str
        A path, or ``-`` for standard error.
    pace : Pace
        Tells rates and the time left; to be notified of records before this observer.

    Raises
    ------
    WriteError
        Here and later, if the file cannot be written.
    """

    def __init__(self, target: str, pace: Pace) -> None:
        self._target = target
        self._pace = pace
        self._statuses: Counter[str] = Counter()
        self._began: dict[str, float] = {}
        self._attempts: dict[str, int] = {}
        try:
            if target != "-":
                Path(target).parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.dup(2) if target == "-" else os.open(target, flags, 0o644)
        except OSError as error:
            raise self._trouble(error) from None

    def started(self, sweep: str, jobs: int) -> None:
        """Say that a run begins: the sweep's name and the number of workers."""
        self._say(
            "run_started", schema=EVENTS_SCHEMA, version=__version__, sweep=sweep, cells=self._pace.total,
            jobs=jobs, pid=os.getpid(),
        )  # fmt: skip

    def happened(self, event: Event) -> None:
        """Write one line."""
        cell = event.planned.cell
        facts: dict[str, Any] = {"key": cell.key}
        if event.kind == "cell_started":
            self._began[cell.key] = self._pace.elapsed
            self._attempts[cell.key] = event.facts["attempt"]
            facts |= {**cell.labels, "malicious": cell.malicious, "seed": cell.seed}
        self._say(event.kind, **facts, **event.facts)

    def finished(self, record: CellRecord) -> None:
        """Write one line."""
        self._statuses[record.status] += 1
        now = self._pace.elapsed
        began = self._began.pop(record.key, None)
        self._say(
            "cell_finished",
            key=record.key,
            status=record.status,
            reason=record.reason,
            attempt=self._attempts.pop(record.key, None),
            seconds=None if began is None else round(now - began, 3),
            accuracy=record.metrics.accuracy if record.metrics else None,
            finished=self._pace.count,
            cells=self._pace.total,
            cells_per_second=_rounded(self._pace.rate),
            seconds_left=_rounded(self._pace.seconds_left),
        )

    def ended(self, how: str) -> None:
        """Say how the run ended, and close the file."""
        self._say("run_ended", how=how, finished=self._pace.count, statuses=dict(self._statuses))
        os.close(self._descriptor)

    def _say(self, kind: str, **facts: Any) -> None:
        row = {"time": round(time.time(), 3), "elapsed": round(self._pace.elapsed, 3), "event": kind, **facts}
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            raise self._trouble(error) from None

    def _trouble(self, error: OSError) -> WriteError:
        return WriteError(
            f"Cannot write the events to {self._target!r}: {error.strerror or error}. "
            "What is already stored is intact; choose another --events file and run the sweep again."
        )


def _rounded(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.4g}")
