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
from robustbench_fl.core.record import FINAL, CellRecord
from robustbench_fl.sweep.runner.backend import Event, Kind, Tell, ignore
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.local import KeepLog
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.ray_cluster import RETRIES, RayCluster
from robustbench_fl.sweep.runner.ray_task import Answer, Note
from robustbench_fl.sweep.runner.recording import record
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
        run = _Run(self, stop, tell)
        try:
            yield from run.work_off(map(_Flight, cells))
            while run.again and not stop.requested:
                waiting, run.again = run.again, []
                yield from run.work_off(iter(waiting), 1)
        finally:
            run.end()

    def log(self, answer: Answer, status: str) -> None:
        """Keep what was printed for a cell, if it is to be kept."""
        if self._keep_log and (self.policy.keep_logs or status not in FINAL):
            self._keep_log(answer.begun.key, answer.log)


@dataclass
class _Flight:
    """A cell on its way through the cluster."""

    planned: Planned
    timeouts: int = 0
    attempt: int = 0
    began: float = 0.0
    rounds: int = 0
    tokens: set[str] = field(default_factory=set)


class _Run:
    """One call of :meth:`RayBackend.run`: the cells in flight, and those to be run again alone."""

    def __init__(self, backend: RayBackend, stop: Stop, tell: Tell) -> None:
        self.backend, self.policy, self.stop = backend, backend.policy, stop
        self.again: list[_Flight] = []
        self._tell = tell
        self._flying: dict[Any, _Flight] = {}
        self._workers: dict[tuple[str, int], int] = {}
        self._numbers = itertools.count(1)
        self._ledger = backend.cluster.ledger()
        self._submit = backend.cluster.submitter(
            backend.environment, backend.policy, backend.copies, self._ledger
        )
        self._looked = time.monotonic()
        self._room = _AHEAD * backend.cluster.slots

    def work_off(self, flights: Iterator[_Flight], room: int | None = None) -> Iterator[CellRecord]:
        """Run all `flights`, at most `room` at a time, by default as many as keep the cluster busy."""
        landed: list[Any] = []
        while True:
            # First hand over work, then hand back records: storing them takes the consumer time.
            yield from self._hand_over(flights, room)
            for reference in landed:
                if done := self._settle(reference):
                    yield done
            if self.stop.requested:
                yield from self._interrupted()
                return
            if not self._flying and not landed:
                return
            landed = self._landed()
            if time.monotonic() - self._looked > _LOOK:
                yield from self._look()

    def end(self) -> None:
        """Cancel what is in flight."""
        import ray

        for reference in self._flying:
            ray.cancel(reference, force=True)
        self._flying.clear()
        ray.kill(self._ledger)

    def _hand_over(self, flights: Iterator[_Flight], room: int | None) -> Iterator[CellRecord]:
        """Give cells to the cluster; yield the records of those that cannot run."""
        while len(self._flying) < (room or self._room) and not self.stop.requested:
            flight = next(flights, None)
            if flight is None:
                return
            if reason := flight.planned.infeasible:
                yield self._record(flight, status="infeasible", reason=reason)
                continue
            self._flying[self._submit(flight.planned)] = flight

    def _landed(self) -> list[Any]:
        """Return the references of finished tasks, after waiting a little if there are none."""
        import ray

        if not self._flying:
            return []
        flying = list(self._flying)
        landed, _ = ray.wait(flying, num_returns=1, timeout=_LOOK)
        if landed:
            landed, _ = ray.wait(flying, num_returns=len(flying), timeout=0)
        return list(landed)

    def _look(self) -> Iterator[CellRecord]:
        """Hear what tasks have said, see how large the cluster is, and end cells that do not end."""
        self._looked = time.monotonic()
        self._room = max(_AHEAD * self.backend.cluster.slots, 1)
        self._hear()
        if self.policy.timeout is None:
            return
        limit = self.policy.timeout + self.policy.grace
        late = [r for r, f in self._flying.items() if f.began and time.monotonic() - f.began > limit]
        for reference in late:
            if done := self._kill(reference):
                yield done

    def _hear(self) -> None:
        flights = {flight.planned.cell.key: flight for flight in self._flying.values()}
        for note in self.backend.cluster.notes(self._ledger):
            if flight := flights.get(note.key):
                self._begin(flight, note)
                flight.rounds = flight.rounds if note.rounds is None else note.rounds
                if note.retrying:
                    self._say("retry", flight, attempt=flight.attempt, reason=note.retrying)

    def _begin(self, flight: _Flight, note: Note) -> None:
        """Take note that an attempt has begun; another one before it was lost."""
        if note.token in flight.tokens:
            return
        worker = self._workers.setdefault((note.node, note.pid), next(self._numbers))
        flight.tokens.add(note.token)
        flight.attempt += 1
        flight.began, flight.rounds = time.monotonic(), 0
        if len(flight.tokens) > 1:
            why = "Its worker process or node was lost."
            self._say("worker_lost", flight, worker=worker, reason=why)
            self._say("retry", flight, attempt=flight.attempt, reason=f"{why} Again, by Ray.")
        self._say("cell_started", flight, attempt=flight.attempt, worker=worker, pid=note.pid)

    def _settle(self, reference: Any) -> CellRecord | None:
        """Take in a task's answer; return the record of its cell if that is the last word."""
        import ray
        from ray import exceptions

        flight = self._flying.pop(reference, None)
        if flight is None:  # killed while it was landing
            return None
        try:
            answer: Answer = ray.get(reference)
        except exceptions.OutOfMemoryError:
            return self._record(
                flight, status="oom", reason="Ray ended the worker process: the node is out of memory."
            )
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.ObjectLostError):
            self._hear()
            reason = f"The worker process or node was lost, {1 + RETRIES} times."
            self._say("worker_lost", flight, worker=None, reason=reason)
            return self._record(flight, status="failed", reason=reason)
        except exceptions.RayError as error:
            raise RobustbenchError(_trouble(error)) from None
        if answer.record is None:
            raise RobustbenchError(
                "A node of the Ray cluster has another version of robustbench-fl than this one: its numbers "
                "would not be this version's. Install the same on all nodes, then run the sweep again."
            )
        self._begin(flight, answer.begun)
        done = CellRecord.model_validate(answer.record)
        if done.status == "timeout":
            self._say("timeout", flight, reason=done.reason, killed=False)
            if self._spare(flight):
                return None
        self.backend.log(answer, done.status)
        return done

    def _kill(self, reference: Any) -> CellRecord | None:
        """End a task whose cell does not end by itself."""
        import ray

        flight = self._flying.pop(reference)
        ray.cancel(reference, force=True)
        reason = (
            f"Killed after {self.policy.timeout:g} s (--timeout) and {self.policy.grace:g} s of grace "
            f"with {flight.rounds} of {flight.planned.cell.settings.rounds} rounds finished."
        )
        self._say("timeout", flight, reason=reason, killed=True)
        return None if self._spare(flight) else self._record(flight, status="timeout", reason=reason)

    def _spare(self, flight: _Flight) -> bool:
        """Count a timeout; put the cell off if it has a retry left."""
        flight.timeouts += 1
        if flight.timeouts > self.policy.retry_timeouts:
            return False
        self.again.append(_Flight(flight.planned, timeouts=flight.timeouts, attempt=flight.attempt))
        reason = "Again, alone, after all other cells."
        self._say("retry", flight, attempt=flight.attempt + 1, reason=reason)
        return True

    def _interrupted(self) -> Iterator[CellRecord]:
        """Yield what is finished, and that what else has begun was interrupted; cancel it all."""
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
                total = flight.planned.cell.settings.rounds
                reason = f"Stopped ({self.stop.reason}) with {flight.rounds} of {total} rounds finished."
                yield self._record(flight, status="interrupted", reason=reason)

    def _record(self, flight: _Flight, **parts: Any) -> CellRecord:
        return record(flight.planned, self.backend.environment, **parts)

    def _say(self, kind: Kind, flight: _Flight, **facts: Any) -> None:
        self._tell(Event(kind, flight.planned, facts))


def _trouble(error: Exception) -> str:
    """Return what is wrong with the cluster: a cell that fails has a record, and raises nothing."""
    last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    return (
        f"The Ray cluster cannot run cells: {last[0]}\n"
        "Every node needs the same versions of Python, Ray and robustbench-fl. Finished cells are stored."
    )
