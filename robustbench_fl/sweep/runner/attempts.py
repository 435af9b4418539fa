"""What is tried again, and what is recorded of cells that are lost: the same wherever cells run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.provenance import without_paths
from robustbench_fl.core.record import FINAL, CellRecord
from robustbench_fl.core.refusals import tells_of_no_memory
from robustbench_fl.sweep.runner.backend import Event, Kind, Tell
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.recording import record
from robustbench_fl.sweep.runner.stopping import Stop

_EXCERPT = 4000
"""Bytes of a lost worker's output that its cell's record holds."""

KeepLog = Callable[[str, bytes], None]
"""Keeps what the worker of the cell with that key printed."""


@dataclass
class Task:
    """A cell to run, and what became of its attempts.

    Parameters
    ----------
    planned : Planned
        The cell.
    attempt : int
        Attempts begun so far.
    losses, timeouts : int
        Attempts that ended with their worker, and for want of time.
    output : bytes
        What its workers printed.
    """

    planned: Planned
    attempt: int = 0
    losses: int = 0
    timeouts: int = 0
    output: bytes = b""


class Attempts(ABC):
    """One run of some cells. Subclasses say where cells run and how their news arrive.

    Parameters
    ----------
    environment : Environment
        Of the run.
    policy : RunPolicy
        Timeouts and retries.
    keep_log : callable, optional
        Gets the output of every cell that has no final status, and of all cells if the policy says so.
    stop, tell
        As in :meth:`robustbench_fl.sweep.runner.backend.Backend.run`.
    """

    def __init__(
        self, environment: Environment, policy: RunPolicy, keep_log: KeepLog | None, stop: Stop, tell: Tell
    ) -> None:
        self.environment, self.policy, self.stop = environment, policy, stop
        self._keep_log = keep_log
        self._tell = tell
        self._again: list[Task] = []

    @abstractmethod
    def has_room(self) -> bool:
        """Whether another cell can be begun."""

    @abstractmethod
    def is_busy(self) -> bool:
        """Whether cells are in flight."""

    @abstractmethod
    def give(self, task: Task) -> None:
        """Begin a cell."""

    @abstractmethod
    def news(self) -> list[CellRecord]:
        """Wait for something to happen; return the records of cells that are finished."""

    @abstractmethod
    def interrupted(self) -> Iterator[CellRecord]:
        """End all cells in flight; yield the records of those that had begun."""

    @abstractmethod
    def run_singly(self) -> None:
        """Run one cell at a time from now on."""

    @abstractmethod
    def end(self) -> None:
        """Let go of all workers."""

    def run(self, cells: Iterable[Planned]) -> Generator[CellRecord, None, None]:
        """Run all `cells`, then one by one those that are to be tried again; yield their records."""
        try:
            yield from self._work_off(map(Task, cells))
            while self._again and not self.stop.requested:
                self.run_singly()
                tasks, self._again = self._again, []
                yield from self._work_off(iter(tasks))
        finally:
            self.end()

    def _work_off(self, tasks: Iterator[Task]) -> Iterator[CellRecord]:
        finished: list[CellRecord] = []
        while True:
            # First give out work, then hand back records: storing them takes the consumer time.
            yield from self._hand_out(tasks)
            while finished:
                yield finished.pop(0)
            if self.stop.requested:
                yield from self.interrupted()
                return
            if not self.is_busy():
                return
            finished += self.news()

    def _hand_out(self, tasks: Iterator[Task]) -> Iterator[CellRecord]:
        """Begin cells while there is room; yield the records of cells that cannot run."""
        while self.has_room() and not self.stop.requested and (task := next(tasks, None)):
            if reason := task.planned.infeasible:
                yield record(task.planned, self.environment, status="infeasible", reason=reason)
            else:
                self.give(task)

    def started(self, task: Task, *, worker: int, pid: int | None) -> None:
        """Count an attempt that has begun."""
        task.attempt += 1
        self._say("cell_started", task, attempt=task.attempt, worker=worker, pid=pid)

    def begun_anew(self, task: Task, reason: str) -> None:
        """Tell that the attempt in hand begins anew."""
        self._say("retry", task, attempt=task.attempt, reason=reason)

    def finished(self, task: Task, done: CellRecord) -> CellRecord | None:
        """Return the record of an attempt, ``None`` if the cell is tried again."""
        if done.status == "timeout":
            self._say("timeout", task, reason=done.reason, killed=False)
            if self.retry_timeout(task):
                return None
        self._log(task, done.status)
        return done

    def killed(self, task: Task, rounds: int) -> CellRecord | None:
        """Return the record of a cell that was killed for want of time, ``None`` if it is tried again."""
        reason = (
            f"Killed after {self.policy.timeout:g} s (--timeout) and {self.policy.grace:g} s of grace "
            f"with {_rounds_of(task, rounds)}."
        )
        self._say("timeout", task, reason=reason, killed=True)
        return None if self.retry_timeout(task) else self.lost(task, "timeout", reason)

    def worker_died(self, task: Task, worker: int, how: str) -> CellRecord | None:
        """Return the record of a cell whose worker died, ``None`` after the first time: it is tried again."""
        self.worker_lost(task, worker, f"The worker process was {how}.")
        task.losses += 1
        if task.losses > 1:
            refused = tells_of_no_memory(task.output[-_EXCERPT:].decode(errors="replace"))
            return self.lost(task, "oom" if refused else "failed", f"The worker process was {how}, twice.")
        self.retry_singly(task)
        return None

    def worker_lost(self, task: Task, worker: int | None, reason: str) -> None:
        """Tell that the worker of a cell is lost."""
        self._say("worker_lost", task, worker=worker, reason=reason)

    def retried_elsewhere(self, task: Task, worker: int, why: str, whom: str) -> None:
        """Tell that an attempt was lost, and that others have begun the next one already."""
        self.worker_lost(task, worker, why)
        self._say("retry", task, attempt=task.attempt + 1, reason=f"{why} Again, {whom}.")

    def retry_timeout(self, task: Task) -> bool:
        """Count a timeout; put the cell off and return true if it has a retry left."""
        task.timeouts += 1
        if task.timeouts > self.policy.retry_timeouts:
            return False
        self.retry_singly(task)
        return True

    def retry_singly(self, task: Task) -> None:
        """Put a cell off, to be run alone after all others."""
        self._again.append(task)
        reason = "Again, alone, after all other cells."
        self._say("retry", task, attempt=task.attempt + 1, reason=reason)

    def stopped(self, task: Task, rounds: int) -> CellRecord:
        """Return the record of a cell that was in flight when the run was stopped."""
        reason = f"Stopped ({self.stop.reason}) with {_rounds_of(task, rounds)}."
        return self.lost(task, "interrupted", reason)

    def lost(self, task: Task, status: str, reason: str) -> CellRecord:
        """Return the record of a cell whose worker could not make one."""
        parts: dict[str, Any] = {"status": status, "reason": reason}
        if task.output and status != "interrupted":
            folders = (self.environment.data_dir, *(path.parent for path in self.environment.plugins))
            parts["traceback"] = without_paths(task.output[-_EXCERPT:].decode(errors="replace"), *folders)
        self._log(task, status)
        return record(task.planned, self.environment, **parts)

    def _log(self, task: Task, status: str) -> None:
        """Keep what was printed for a cell, if it is to be kept."""
        if self._keep_log and (self.policy.keep_logs or status not in FINAL):
            self._keep_log(task.planned.cell.key, task.output)

    def _say(self, kind: Kind, task: Task, **facts: Any) -> None:
        self._tell(Event(kind, task.planned, facts))


def _rounds_of(task: Task, rounds: int) -> str:
    return f"{rounds} of {task.planned.cell.settings.rounds} rounds finished"
