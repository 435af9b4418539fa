"""Several planned cells in lock-step, their clients trained as one batch; a record for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import CellRecord
from robustbench_fl.engine.outcome import outcome
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.engine.together import train_together
from robustbench_fl.engine.work import Work
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import (
    CellTimeout,
    execute,
    failure,
    one_thread,
    peak_memory_mb,
    prepared,
    printable,
    warnings_heard,
    watched,
)
from robustbench_fl.sweep.runner.listening import Listener
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.recording import record

Finish = Callable[[CellRecord], None]


def execute_together(
    cells: Sequence[Planned], environment: Environment, policy: RunPolicy, listener: Listener, finish: Finish
) -> None:
    """Run `cells`, which :func:`~robustbench_fl.sweep.runner.batching.alike` says fit together.

    A cell that fails leaves the others alone. If the common training fails, as for want of memory,
    the cells that are left begin anew, one after the other.

    Parameters
    ----------
    cells : sequence of Planned
        Feasible ones of one world, network and recipe.
    environment, policy, listener
        As in :func:`~robustbench_fl.sweep.runner.execute.execute`; the timeout is that of all cells together.
    finish : callable
        Gets every record as it is there.
    """
    with one_thread():
        batch = _Batch(environment, listener, finish)
        peak_memory_mb()
        after_round = watched(cells[0].cell.settings.rounds, policy, listener, len(cells))
        batch.prepare(cells)
        try:
            while batch.running:
                batch.advance()
                if batch.running:
                    batch.watch(after_round)
        except _TrainingError as error:
            why = str(error)  # not the error itself, which holds on to the batch's memory
        else:
            return
    left = [one.planned for one in batch.running]
    batch.running.clear()
    listener.retrying(f"{printable(why, environment)} The cells that are left run one by one.")
    for planned in left:
        finish(execute(planned, environment, policy, listener))


class _TrainingError(Exception):
    """The common training of a batch failed; no cell of it is to blame."""


@dataclass
class _Running:
    planned: Planned
    simulation: Simulation
    said: set[str] = field(default_factory=set)


class _Batch:
    """The cells that are still running."""

    def __init__(self, environment: Environment, listener: Listener, finish: Finish) -> None:
        self.environment, self.listener, self._finish = environment, listener, finish
        self.running: list[_Running] = []

    def prepare(self, cells: Sequence[Planned]) -> None:
        """Make every cell's simulation."""
        for planned in cells:
            said: set[str] = set()
            try:
                with self._heard(said):
                    self.running.append(_Running(planned, prepared(planned.cell, self.environment), said))
            except Exception as error:
                self._end(planned, said, failure(error, self.environment))

    def advance(self) -> None:
        """Run one round of every cell; finish those that fail or have run their last.

        Raises
        ------
        _TrainingError
            If the common training fails.
        """
        works = [(one, work) for one in list(self.running) if (work := self._begun(one))]
        if not works:
            return
        try:
            trained = train_together([one.simulation for one, _ in works], [work for _, work in works])
        except Exception as error:
            first_line = str(error).strip().partition("\n")[0]
            raise _TrainingError(f"{type(error).__name__}: {first_line}.") from error
        for (one, work), rows in zip(works, trained, strict=True):
            simulation = one.simulation
            try:
                with self._heard(one.said):
                    simulation.end_round(work, rows)
                if simulation.round == simulation.settings.rounds:
                    self._drop(one, outcome(simulation, peak_memory_mb=peak_memory_mb()))
            except Exception as error:
                self._drop(one, failure(error, self.environment))

    def watch(self, after_round: Callable[[int], None]) -> None:
        """Tell of a finished round; end all cells if they have used up their time."""
        try:
            after_round(self.running[0].simulation.round)
        except CellTimeout as error:
            for one in list(self.running):
                self._drop(one, {"status": "timeout", "reason": str(error)})

    def _begun(self, one: _Running) -> Work | None:
        try:
            with self._heard(one.said):
                return one.simulation.begin_round()
        except Exception as error:
            self._drop(one, failure(error, self.environment))
            return None

    @contextmanager
    def _heard(self, said: set[str]) -> Iterator[None]:
        with warnings_heard(self.listener) as heard:
            try:
                yield
            finally:
                said |= heard

    def _drop(self, one: _Running, parts: dict[str, Any]) -> None:
        self.running.remove(one)
        self._end(one.planned, one.said, parts)

    def _end(self, planned: Planned, said: set[str], parts: dict[str, Any]) -> None:
        warned = sorted({printable(text, self.environment) for text in said})
        self._finish(record(planned, self.environment, warnings=warned, **parts))
