"""Worker processes of this machine: spawned, one torch thread each, replaced when they die."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import wait
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import FINAL, CellRecord
from robustbench_fl.sweep.runner.attempts import Attempts, KeepLog, Task
from robustbench_fl.sweep.runner.backend import Tell, ignore
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.stopping import Stop
from robustbench_fl.sweep.runner.worker import Retrying, Worker

_LONGEST_WAIT = 86_400.0
"""Seconds; the system waits for no more than 24 days at a time."""


class LocalBackend:
    """Runs cells in `jobs` processes of this machine.

    A process that dies (killed, out of memory, a crash in native code) costs its cell one try. The
    cell is run once more, alone, after all others. It is recorded as failed if its process dies
    again. Where the policy says so, a cell that ran out of time is run again in the same way.

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

    def run(
        self, cells: Iterable[Planned], stop: Stop, tell: Tell = ignore
    ) -> Generator[CellRecord, None, None]:
        """Yield one record for each cell as it is finished.

        Parameters
        ----------
        cells, stop, tell
            As in :meth:`robustbench_fl.sweep.runner.backend.Backend.run`.
        """
        context = multiprocessing.get_context("spawn")

        def start(number: int) -> Worker:
            return Worker(number, context, self.environment, self.policy)

        run = _Run(self.jobs, start, self.environment, self.policy, self._keep_log, stop, tell)
        yield from run.run(cells)


class _Run(Attempts):
    """One call of :meth:`LocalBackend.run`, and its workers."""

    def __init__(self, width: int, start: Callable[[int], Worker], *rest: Any) -> None:
        super().__init__(*rest)
        self._width, self._start = width, start
        self._workers: list[Worker] = []
        self._numbers = itertools.count(1)

    def has_room(self) -> bool:
        return len(self._busy) < self._width

    def is_busy(self) -> bool:
        return bool(self._busy)

    def give(self, task: Task) -> None:
        worker = next((worker for worker in self._workers if not worker.task), None)
        if worker is None:
            worker = self._start(next(self._numbers))
            self._workers.append(worker)
        worker.give(task)
        self.started(task, worker=worker.number, pid=worker.pid)

    def news(self) -> list[CellRecord]:
        """Wait for workers that say something, die, or are overdue with their cell."""
        busy = self._busy
        left = [worker.seconds_left for worker in busy if worker.seconds_left is not None]
        pipes: list[Any] = [self.stop.fileno(), *(sign for worker in busy for sign in worker.signs)]
        ready = set(wait(pipes, min(max(0.0, min(left)), _LONGEST_WAIT) if left else None))
        heard = [worker for worker in busy if worker.overdue or not ready.isdisjoint(worker.signs)]
        return [done for worker in heard if (done := self._settle(worker))]

    def interrupted(self) -> Iterator[CellRecord]:
        for worker in self._busy:
            task, rounds, done = _in_hand(worker), worker.rounds, None
            with contextlib.suppress(EOFError, OSError):
                while done is None and worker.pipe.poll():
                    if isinstance(said := worker.receive(), CellRecord):
                        done = said
            task.output += worker.output()
            self._remove(worker)
            if done is None:
                done = self.stopped(task, rounds)
            else:
                self._log(task, done.status)
            yield done

    def run_singly(self) -> None:
        self.end()
        self._width = 1

    def end(self) -> None:
        while self._workers:
            self._workers.pop().end()

    @property
    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers if worker.task]

    def _settle(self, worker: Worker) -> CellRecord | None:
        """Hear a worker out; return the record of its cell if there is one and it is the last word."""
        task = _in_hand(worker)
        if worker.overdue and not worker.pipe.poll():
            rounds = worker.rounds
            task.output += worker.output()
            self._remove(worker)
            return self.killed(task, rounds)
        try:
            said = worker.receive()
        except (EOFError, OSError):
            task.output += worker.output()
            code = self._remove(worker, patience=10.0)
            killed = code is not None and code < 0
            how = f"killed by signal {-code}" if code and killed else f"ended with exit code {code}"
            return self.worker_died(task, worker.number, how)
        if isinstance(said, Retrying):
            self.begun_anew(task, said.reason)
        if not isinstance(said, CellRecord):
            return None
        worker.task = None
        if said.status not in FINAL or self.policy.keep_logs:
            task.output += worker.output()
        return self.finished(task, said)

    def _remove(self, worker: Worker, patience: float = 0.0) -> int | None:
        self._workers.remove(worker)
        return worker.end(patience)


def _in_hand(worker: Worker) -> Task:
    assert worker.task is not None
    return worker.task
