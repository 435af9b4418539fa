"""Who watches a run: the progress bar, the event file, the logs … each sees the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from robustbench_fl.core.record import CellRecord
from robustbench_fl.sweep.runner.backend import Event
from robustbench_fl.sweep.runner.policy import FAILURES
from robustbench_fl.sweep.runner.stopping import Stop


class Observer:
    """Watches a run; this one does nothing with what it sees."""

    def happened(self, event: Event) -> None:
        """Take note of what a backend tells of a cell before its record."""

    def finished(self, record: CellRecord) -> None:
        """Take note of a record, which is stored by now."""


class FailureLimit(Observer):
    """Stops the run after so many failed cells.

    Parameters
    ----------
    limit : int
        Cells that fail, run out of time or out of memory.
    stop : Stop
        Asked for the end of the run.
    """

    def __init__(self, limit: int, stop: Stop) -> None:
        self.limit = limit
        self.failures = 0
        self._stop = stop

    def finished(self, record: CellRecord) -> None:
        """Count a failure."""
        self.failures += record.status in FAILURES
        if self.failures >= self.limit:
            self._stop.request(f"{self.failures} cell{'s' if self.failures > 1 else ''} failed")


class Pace(Observer):
    """How fast a run gets on, and how long it will take.

    Parameters
    ----------
    weights : mapping of str to float
        For the key of every cell to run how long it takes, in any unit: expected seconds, or 1
        each. Cells that cannot run weigh 0.
    clock : callable
        Seconds that only ever go forward.
    """

    def __init__(self, weights: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self.total = len(weights)
        self.count = 0
        self._weights = weights
        self._all = sum(weights.values())
        self._done = 0.0
        self._run = 0
        self._clock = clock
        self._began = clock()

    def finished(self, record: CellRecord) -> None:
        """Count a cell."""
        self.count += 1
        if weight := self._weights.get(record.key, 0.0):
            self._done += weight
            self._run += 1

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began

    @property
    def rate(self) -> float | None:
        """Cells that were really run a second; ``None`` before the first."""
        return self._run / self.elapsed if self._run and self.elapsed else None

    @property
    def seconds_left(self) -> float | None:
        """Seconds to go at the speed so far, by weight; ``None`` before the first cell."""
        if not self._done:
            return None if self._done < self._all else 0.0
        return self.elapsed / self._done * max(0.0, self._all - self._done)
