"""Worker processes of this machine: spawned, one torch thread each, replaced when they die."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.provenance import without_paths
from robustbench_fl.core.record import FINAL, CellRecord
from robustbench_fl.sweep.runner.backend import Event, Kind, Tell, ignore
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.recording import record
from robustbench_fl.sweep.runner.stopping import Stop
from robustbench_fl.sweep.runner.worker import Retrying, Task, Worker

_EXCERPT = 4000
"""Bytes of a dead worker's output that its cell's record holds."""

KeepLog = Callable[[str, bytes], None]
"""Keeps what the worker of the cell with that key printed."""


class LocalBackend:
    """Runs cells in `jobs` processes of this machine.

    A process that dies (killed, out of memory, a crash in native code) costs its cell one try:
    the cell is run once more, alone, after all others, and recorded as failed if its process dies
    again. So is, where the policy says so, a cell that ran out of time.

    Parameters
    ----------
    jobs : int
        Number of processes.
    environment : Environment
        Handed to every process.
    policy : RunPolicy
        Timeouts and retries.
    keep_log : callable, optional
        Gets the output of every cell that has no final status, and of all cells if the policy
        says so.
    """

    def __init__(
        self,
        jobs: int,
        environment: Environment,
        policy: RunPolicy | None = None,
        keep_log: KeepLog | None = None,
    ) -> None:
        self.jobs = jobs
        self.environment = environment
        self.policy = policy or RunPolicy()
        self._keep_log = keep_log
        self._context = multiprocessing.get_context("spawn")

    def run(
        self, cells: Iterable[Planned], stop: Stop, tell: Tell = ignore
    ) -> Generator[CellRecord, None, None]:
        """Yield one record for each cell as it is finished.

        Parameters
        ----------
        cells, stop, tell
            As in :meth:`robustbench_fl.sweep.runner.backend.Backend.run`.
        """
        run = _Run(self, stop, tell)
        try:
            yield from run.work_off(map(Task, cells), self.jobs)
            while run.again and not stop.requested:
                run.end()
                waiting, run.again = run.again, []
                yield from run.work_off(iter(waiting), 1)
        finally:
            run.end()

    def start(self, number: int) -> Worker:
        """Return a new worker process."""
        return Worker(number, self._context, self.environment, self.policy)

    def record_of(self, task: Task, **parts: Any) -> CellRecord:
        """Return the record of a cell whose worker could not make one."""
        if task.output and parts["status"] != "interrupted":
            folders = (self.environment.data_dir, *(path.parent for path in self.environment.plugins))
            parts["traceback"] = without_paths(task.output[-_EXCERPT:].decode(errors="replace"), *folders)
        self.log(task, parts["status"])
        return record(task.planned, self.environment, **parts)

    def log(self, task: Task, status: str) -> None:
        """Keep what was printed for a cell, if it is to be kept."""
        if self._keep_log and (self.policy.keep_logs or status not in FINAL):
            self._keep_log(task.planned.cell.key, task.output)


class _Run:
    """One call of :meth:`LocalBackend.run`: its workers, and the cells to be run again alone."""

    def __init__(self, backend: LocalBackend, stop: Stop, tell: Tell) -> None:
        self.backend, self.policy, self.stop = backend, backend.policy, stop
        self.again: list[Task] = []
        self._tell = tell
        self._workers: list[Worker] = []
        self._numbers = itertools.count(1)

    def work_off(self, tasks: Iterator[Task], width: int) -> Iterator[CellRecord]:
        """Run all `tasks`, `width` at a time."""
        finished: list[CellRecord] = []
        while True:
            # First give out work, then hand back records: storing them takes the consumer time.
            yield from self._hand_out(tasks, width)
            while finished:
                yield finished.pop(0)
            if self.stop.requested:
                yield from self._interrupted()
                return
            if not self._busy:
                return
            finished += [done for worker in self._with_news() if (done := self._settle(worker))]

    def end(self) -> None:
        """End all workers."""
        while self._workers:
            self._workers.pop().end()

    @property
    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.task]

    def _hand_out(self, tasks: Iterator[Task], width: int) -> Iterator[CellRecord]:
        """Give cells to workers that have none; yield the records of cells that cannot run."""
        while len(self._busy) < width and not self.stop.requested:
            task = next(tasks, None)
            if task is None:
                return
            if reason := task.planned.infeasible:
                yield record(task.planned, self.backend.environment, status="infeasible", reason=reason)
                continue
            worker = next((worker for worker in self._workers if not worker.task), None)
            if worker is None:
                worker = self.backend.start(next(self._numbers))
                self._workers.append(worker)
            worker.give(task)
            self._say("cell_started", task, attempt=task.attempt, worker=worker.number, pid=worker.pid)

    def _with_news(self) -> list[Worker]:
        """Wait for workers that say something, die, or are overdue with their cell."""
        busy = self._busy
        left = [worker.seconds_left for worker in busy if worker.seconds_left is not None]
        news = wait(
            [self.stop.fileno(), *(worker.pipe for worker in busy)], max(0.0, min(left)) if left else None
        )
        return [worker for worker in busy if worker.pipe in news or worker.overdue]

    def _settle(self, worker: Worker) -> CellRecord | None:
        """Hear a worker out; return the record of its cell if there is one and it is the last word."""
        task = worker.task
        assert task is not None
        if worker.overdue and not worker.pipe.poll():
            return self._kill(worker, task)
        try:
            said = worker.receive()
        except (EOFError, OSError):
            return self._bury(worker, task)
        if isinstance(said, Retrying):
            self._say("retry", task, attempt=task.attempt, reason=said.reason)
        if not isinstance(said, CellRecord):
            return None
        worker.task = None
        if said.status not in FINAL or self.policy.keep_logs:
            task.output += worker.output()
        if said.status == "timeout":
            self._say("timeout", task, reason=said.reason, killed=False)
            if self._spare(task):
                return None
        self.backend.log(task, said.status)
        return said

    def _kill(self, worker: Worker, task: Task) -> CellRecord | None:
        """End a worker whose cell does not end by itself."""
        rounds = worker.rounds
        task.output += worker.output()
        self._remove(worker)
        reason = (
            f"Killed after {self.policy.timeout:g} s (--timeout) and {self.policy.grace:g} s of grace "
            f"with {rounds} of {task.planned.cell.settings.rounds} rounds finished."
        )
        self._say("timeout", task, reason=reason, killed=True)
        if self._spare(task):
            return None
        return self.backend.record_of(task, status="timeout", reason=reason)

    def _bury(self, worker: Worker, task: Task) -> CellRecord | None:
        """Return the record of a cell whose worker died, or put it off if that was the first time."""
        task.output += worker.output()
        code = self._remove(worker, patience=10.0)
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        self._say("worker_lost", task, worker=worker.number, reason=f"The worker process was {how}.")
        task.losses += 1
        if task.losses == 1:
            self._try_again(task)
            return None
        return self.backend.record_of(task, status="failed", reason=f"The worker process was {how}, twice.")

    def _spare(self, task: Task) -> bool:
        """Count a timeout; put the cell off if it has a retry left."""
        task.timeouts += 1
        if task.timeouts > self.policy.retry_timeouts:
            return False
        self._try_again(task)
        return True

    def _try_again(self, task: Task) -> None:
        self.again.append(task)
        self._say("retry", task, attempt=task.attempt, reason="Again, alone, after all other cells.")

    def _interrupted(self) -> Iterator[CellRecord]:
        """End all workers; yield what they have finished, and that the rest was interrupted."""
        for worker in self._busy:
            task, rounds = worker.task, worker.rounds
            assert task is not None
            done = None
            with contextlib.suppress(EOFError, OSError):
                while done is None and worker.pipe.poll():
                    if isinstance(said := worker.receive(), CellRecord):
                        done = said
            task.output += worker.output()
            self._remove(worker)
            if done is not None:
                self.backend.log(task, done.status)
                yield done
                continue
            total = task.planned.cell.settings.rounds
            reason = f"Stopped ({self.stop.reason}) with {rounds} of {total} rounds finished."
            yield self.backend.record_of(task, status="interrupted", reason=reason)

    def _remove(self, worker: Worker, patience: float = 0.0) -> int | None:
        self._workers.remove(worker)
        return worker.end(patience)

    def _say(self, kind: Kind, task: Task, **facts: Any) -> None:
        self._tell(Event(kind, task.planned, facts))
