"""Progress of a sweep: a bar with ETA on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

from robustbench_fl.cli.durations import duration_text
from robustbench_fl.cli.saying import say
from robustbench_fl.core.counted import counted
from robustbench_fl.core.record import CellRecord
from robustbench_fl.sweep.runner.backend import Event
from robustbench_fl.sweep.runner.observers import Observer, Pace

_SECONDS_BETWEEN_LINES = 5.0


class Progress(Observer):
    """Shows finished cells, failures, the rate and the time left.

    Parameters
    ----------
    pace : Pace
        Counts the cells; to be notified of records before this observer.
    folder : Path
        Named when the run is stopped.
    """

    def __init__(self, pace: Pace, folder: Path) -> None:
        self.pace = pace
        self.folder = folder
        self.notes: Counter[str] = Counter()
        self._printed = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=pace.total,
                unit="cell",
                dynamic_ncols=True,
                bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
            )

    def close(self, stopped: str | None = None) -> None:
        """Remove the bar; if the run was stopped, say why and how to go on."""
        if self._bar is not None:
            self._bar.close()
        if stopped:
            say(
                f"Stopped with {self.pace.count - self.notes['interrupted']} of "
                f"{counted(self.pace.total, 'cell')} finished and stored in {self.folder} "
                f"({stopped}). The same command goes on from there.",
                err=True,
            )

    def happened(self, event: Event) -> None:
        """Count workers that died: their cells are tried again, which takes time."""
        if event.kind == "worker_lost":
            self.notes["worker lost"] += 1

    def finished(self, record: CellRecord) -> None:
        """Show one more finished cell."""
        if record.status not in ("done", "infeasible"):
            self.notes[record.status] += 1
        if self._bar is not None:
            self._bar.set_postfix_str(self._speed(), refresh=False)
            self._bar.update()
            return
        now = time.monotonic()
        if now - self._printed >= _SECONDS_BETWEEN_LINES or self.pace.count == self.pace.total:
            self._printed = now
            say(
                f"{self.pace.count}/{counted(self.pace.total, 'cell')} in "
                f"{duration_text(self.pace.elapsed)}, {self._speed()}",
                err=True,
            )

    def _speed(self) -> str:
        parts = []
        if rate := self.pace.rate:
            parts.append(f"{rate:.3g} cells/s" if rate >= 1 else f"{duration_text(1 / rate)} a cell")
        if left := self.pace.seconds_left:
            parts.append(f"about {duration_text(left)} left")
        return ", ".join([*parts, *(f"{count} {what}" for what, count in self.notes.items())])
