"""Who watches a run: the pace, the failure limit, logs, spent checkpoints. Each sees the same."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from robustbench_fl.core.counted import counted
from robustbench_fl.core.files import write_atomically
from robustbench_fl.core.places import inside
from robustbench_fl.core.record import FINAL, CellRecord
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
            self._stop.request(f"{counted(self.failures, 'cell')} failed")


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


def log_path(folder: Path, key: str) -> Path:
    """Return where the log of the cell `key` lies in a sweep's folder, if there is one."""
    return inside(folder, f"logs/{key}.log")


class Logs(Observer):
    """The logs of one sweep's folder.

    Parameters
    ----------
    folder : Path
        The sweep's folder.
    keep_all : bool
        Whether logs of cells with a final status stay.
    """

    def __init__(self, folder: Path, *, keep_all: bool = False) -> None:
        self.folder = folder
        self.keep_all = keep_all

    def keep(self, key: str, output: bytes) -> None:
        """Write the log of a cell.

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        if output:
            write_atomically(log_path(self.folder, key), output)

    def finished(self, record: CellRecord) -> None:
        """Remove the log of an earlier failure of a cell that has a result now."""
        if record.status in FINAL and not self.keep_all:
            path = log_path(self.folder, record.key)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                path.parent.rmdir()


def checkpoint_path(folder: Path, key: str) -> Path:
    """Return where the checkpoint of the cell `key` lies in a sweep's folder, if there is one."""
    return inside(folder, f"checkpoints/{key}.pt")


class SpentCheckpoints(Observer):
    """Removes the checkpoints of cells that have a result, or failed in a way that going on would repeat.

    Parameters
    ----------
    folder : Path
        The sweep's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def finished(self, record: CellRecord) -> None:
        """Remove what is spent."""
        if record.status in FINAL or record.status == "failed":
            path = checkpoint_path(self.folder, record.key)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                path.parent.rmdir()
