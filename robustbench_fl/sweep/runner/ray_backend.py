"""Cells as tasks of a Ray cluster: more than one machine, any of which may go away."""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.errors import RobustbenchError
from robustbench_fl.core.record import CellRecord
from robustbench_fl.sweep.runner.attempts import Attempts, KeepLog, Task
from robustbench_fl.sweep.runner.backend import Tell, ignore
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.ray_cluster import RETRIES, RayCluster
from robustbench_fl.sweep.runner.ray_task import Answer, Note
from robustbench_fl.sweep.runner.stopping import Stop

_LOOK = 0.5
"""Seconds between looks at signals, notes and clocks."""
_AHEAD = 2
"""Cells handed over for each that the cluster has room for, so that no worker waits for this process."""


class RayBackend:
    """Runs cells on a Ray cluster.

    A cell whose worker process or node is lost is run again by Ray, up to three times.

    Parameters
    ----------
    cluster : RayCluster
        Connected.
    environment : Environment
        Handed to every task.
    policy : RunPolicy, optional
        Timeouts and retries.
    keep_log : callable, optional
        Gets what cells without a final status printed, and all cells if the policy says so.
    copies : mapping of str to Path, optional
        Folders of the copies of data sets in files, as from
        :func:`robustbench_fl.sweep.plan.copies_of`; nodes need no files of these.
    """

    def __init__(
        self,
        cluster: RayCluster,
        environment: Environment,
        policy: RunPolicy | None = None,
        keep_log: KeepLog | None = None,
        copies: Mapping[str, Path] | None = None,
    ) -> None:
        self.cluster = cluster
        self.environment = environment
        self.policy = policy or RunPolicy()
        self.copies = copies or {}
        self._keep_log = keep_log

    def run(
        self, cells: Iterable[Planned], stop: Stop, tell: Tell = ignore
    ) -> Generator[CellRecord, None, None]:
        """Yield one record for each cell as it is finished.

        Parameters
        ----------
        cells, stop, tell
            As in :meth:`robustbench_fl.sweep.runner.backend.Backend.run`.

        Raises
        ------
        RobustbenchError
            If the cluster cannot run cells at all.
        """
        yield from _Run(self, self.environment, self.policy, self._keep_log, stop, tell).run(cells)


@dataclass
class _Flight:
    """A task on its way through the cluster.

    Parameters
    ----------
    task : Task
        What was handed over.
    began : float
        When its last attempt began; 0 before.
    rounds : int
        Rounds that this attempt has finished.
    tokens : set of str
        Names of its attempts: Ray itself begins others when a node is lost.
    """

    task: Task
    began: float = 0.0
    rounds: int = 0
    tokens: set[str] = field(default_factory=set)


class _Run(Attempts):
    """One call of :meth:`RayBackend.run`, and the cells in flight."""

    def __init__(self, backend: RayBackend, *rest: Any) -> None:
        super().__init__(*rest)
        self._cluster = backend.cluster
        self._flying: dict[Any, _Flight] = {}
        self._workers: dict[tuple[str, int], int] = {}
        self._numbers = itertools.count(1)
        self._ledger = self._cluster.ledger()
        self._submit = self._cluster.submitter(self.environment, self.policy, backend.copies, self._ledger)
        self._looked = time.monotonic()
        self._room = _AHEAD * self._cluster.slots
        self._singly = False

    def has_room(self) -> bool:
        return len(self._flying) < (1 if self._singly else self._room)

    def is_busy(self) -> bool:
        return bool(self._flying)

    def give(self, task: Task) -> None:
        self._flying[self._submit(task.planned)] = _Flight(task)

    def news(self) -> list[CellRecord]:
        """Wait a little for tasks that are finished; now and then look after the others."""
        import ray

        flying = list(self._flying)
        landed, _ = ray.wait(flying, num_returns=1, timeout=_LOOK)
        if landed:
            landed, _ = ray.wait(flying, num_returns=len(flying), timeout=0)
        records = [self._settle(reference) for reference in landed]
        if time.monotonic() - self._looked > _LOOK:
            records += self._look()
        return [done for done in records if done]

    def interrupted(self) -> Iterator[CellRecord]:
        import ray

        if not self._flying:
            return
        self._hear()
        landed, _ = ray.wait(list(self._flying), num_returns=len(self._flying), timeout=0)
        for reference in landed:
            if done := self._settle(reference):
                yield done
        for reference in list(self._flying):
            ray.cancel(reference, force=True)
            flight = self._flying.pop(reference)
            if flight.tokens:
                yield self.stopped(flight.task, flight.rounds)

    def run_singly(self) -> None:
        self._singly = True

    def end(self) -> None:
        """Cancel what is in flight."""
        import ray

        for reference in self._flying:
            ray.cancel(reference, force=True)
        self._flying.clear()
        ray.kill(self._ledger)

    def _look(self) -> list[CellRecord | None]:
        """Hear what tasks have said, see how large the cluster is, and end cells that do not end."""
        import ray

        self._looked = time.monotonic()
        self._room = max(_AHEAD * self._cluster.slots, 1)
        self._hear()
        if self.policy.timeout is None:
            return []
        limit = self.policy.timeout + self.policy.grace
        late = [r for r, f in self._flying.items() if f.began and time.monotonic() - f.began > limit]
        for reference in late:
            ray.cancel(reference, force=True)
        flights = [self._flying.pop(reference) for reference in late]
        return [self.killed(flight.task, flight.rounds) for flight in flights]

    def _hear(self) -> None:
        flights = {flight.task.planned.cell.key: flight for flight in self._flying.values()}
        for note in self._cluster.notes(self._ledger):
            if flight := flights.get(note.key):
                self._begin(flight, note)
                flight.rounds = flight.rounds if note.rounds is None else note.rounds
                if note.retrying:
                    self.begun_anew(flight.task, note.retrying)

    def _begin(self, flight: _Flight, note: Note) -> None:
        """Take note that an attempt has begun; another one before it was lost."""
        if note.token in flight.tokens:
            return
        worker = self._workers.setdefault((note.node, note.pid), next(self._numbers))
        flight.tokens.add(note.token)
        flight.began, flight.rounds = time.monotonic(), 0
        if len(flight.tokens) > 1:
            self.retried_elsewhere(flight.task, worker, "Its worker process or node was lost.", "by Ray")
        self.started(flight.task, worker=worker, pid=note.pid)

    def _settle(self, reference: Any) -> CellRecord | None:
        """Take in a task's answer; return the record of its cell if that is the last word."""
        import ray
        from ray import exceptions

        flight = self._flying.pop(reference)
        try:
            answer: Answer = ray.get(reference)
        except exceptions.OutOfMemoryError:
            reason = "Ray ended the worker process: the node is out of memory."
            return self.lost(flight.task, "oom", reason)
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.ObjectLostError):
            self._hear()
            reason = f"The worker process or node was lost, {1 + RETRIES} times."
            self.worker_lost(flight.task, None, reason)
            return self.lost(flight.task, "failed", reason)
        except exceptions.RayError as error:
            raise RobustbenchError(_trouble(error)) from None
        if answer.record is None:
            raise RobustbenchError(
                "A node of the Ray cluster has another version of robustbench-fl than this one: its numbers "
                "would not be this version's. Install the same on all nodes, then run the sweep again."
            )
        self._begin(flight, answer.begun)
        flight.task.output += answer.log
        return self.finished(flight.task, CellRecord.model_validate(answer.record))


def _trouble(error: Exception) -> str:
    """Return what is wrong with the cluster: a cell that fails has a record, and raises nothing."""
    last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    return (
        f"The Ray cluster cannot run cells: {last[0]}\n"
        "Every node needs the same versions of Python, Ray and robustbench-fl. Finished cells are stored."
    )
