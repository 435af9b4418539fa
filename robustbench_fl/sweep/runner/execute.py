"""One planned cell to one record, whatever happens on the way."""

from __future__ import annotations

import gc
import math
import os
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from robustbench_fl.api import Arrays, build
from robustbench_fl.core.cell import Cell, Planned, World
from robustbench_fl.core.code import code_in
from robustbench_fl.core.errors import RobustbenchError
from robustbench_fl.core.provenance import without_paths
from robustbench_fl.core.record import CellRecord
from robustbench_fl.core.refusals import is_out_of_memory
from robustbench_fl.data.federation import Federation, make_federation
from robustbench_fl.data.shared import shared
from robustbench_fl.data.spread import spread
from robustbench_fl.engine.outcome import outcome
from robustbench_fl.engine.simulation import Methods, Simulation
from robustbench_fl.sweep.runner.checkpoints import Checkpoint, both
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.listening import Listener
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.recording import record
from robustbench_fl.sweep.runner.torch_defaults import torch_defaults

LONGEST_REASON = 500
"""Characters of a failure's first line that tables show; the traceback holds the rest."""

_CHUNK_DIVISOR = 8
"""Divides the clients trained as one batch where memory did not suffice."""


class CellTimeout(RobustbenchError):
    """A cell has used up its time between two rounds."""


def execute(
    planned: Planned,
    environment: Environment,
    policy: RunPolicy | None = None,
    listener: Listener | None = None,
) -> CellRecord:
    """Run `planned` and return its record; a failure is a record too.

    A cell that runs out of memory begins anew once, with fewer clients trained as one batch. Only
    ``KeyboardInterrupt`` and ``SystemExit`` pass through.

    Parameters
    ----------
    planned : Planned
        The cell.
    environment : Environment
        Where it runs.
    policy : RunPolicy, optional
        Its timeout is checked after every round.
    listener : Listener, optional
        Hears how the cell gets on.
    """
    if planned.infeasible:
        return record(planned, environment, status="infeasible", reason=planned.infeasible)
    listener, policy = listener or Listener(), policy or RunPolicy()
    process = os.getpid()
    with _warnings_heard(listener) as said, one_thread(), torch_defaults(_methods_of(planned.cell)):
        peak_memory_mb()
        after_round = _watched(planned.cell.settings.rounds, policy, listener)
        try:
            simulation = _simulated(planned.cell, environment, policy, listener, after_round)
            parts = outcome(simulation, peak_memory_mb=peak_memory_mb())
            parts["data"] = simulation.federation.arrays.digest
        except CellTimeout as error:
            parts = {"status": "timeout", "reason": str(error)}
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a plug-in may raise anything
            parts = _failure(error, environment)
    _end_if_forked(process)
    warned = {_printable(text, environment) for text in said}
    return record(planned, environment, warnings=sorted(warned), **parts)


def _methods_of(cell: Cell) -> str:
    """Return the methods of `cell` that may be to blame: its plug-ins, else its rule and attack."""
    return ", ".join(code_in(cell.identity)) or f"{cell.aggregator} under {cell.attack}"


def _end_if_forked(process: int) -> None:
    """End a process that a method forked and let return: its cell goes on where it began, `process`."""
    if os.getpid() != process:
        os._exit(1)


def _watched(rounds: int, policy: RunPolicy, listener: Listener) -> Callable[[int], None]:
    """Return what is called after every round, with the cell's clock started."""
    process, began = os.getpid(), time.monotonic()
    limit = math.inf if policy.timeout is None else policy.timeout

    def after_round(finished: int) -> None:
        _end_if_forked(process)
        listener.round_finished(finished)
        if finished < rounds and time.monotonic() - began >= limit:
            so_far = f"{finished} of {rounds} rounds finished"
            raise CellTimeout(f"Stopped after {limit:g} s (--timeout) with {so_far}.")

    return after_round


def _simulated(
    cell: Cell,
    environment: Environment,
    policy: RunPolicy,
    listener: Listener,
    after_round: Callable[[int], None],
) -> Simulation:
    """Return the finished simulation; if memory does not suffice, of a second try with less of it."""
    every = policy.checkpoint_every
    _require_planned_code(cell)
    try:
        return simulate(cell, environment, after_round, every=every)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        why = f"Out of memory ({_printable(_first_line(error), environment)})."
    # Only here is what the first try held set free.
    gc.collect()
    if environment.device == "cuda":
        torch.cuda.empty_cache()
    listener.retrying(f"{why} With fewer clients a batch.")
    return simulate(cell, environment, after_round, chunk_divisor=_CHUNK_DIVISOR, every=every)


def _require_planned_code(cell: Cell) -> None:
    """Refuse to run a plug-in that has been edited since the cell was planned: its key names other code."""
    planned = code_in(cell.identity)
    if not planned:
        return
    made = {axis: build.identity_of(build.make(f"{axis}s", text)) for axis, text in cell.labels.items()}
    here = code_in(made)
    if edited := [name for name, code in planned.items() if here.get(name) != code]:
        raise RobustbenchError(
            f"The plug-in with {', '.join(edited)} was edited while the sweep ran. Run the same sweep again."
        )


@contextmanager
def _warnings_heard(listener: Listener) -> Iterator[set[str]]:
    """Tell `listener` of every new warning, and collect the messages of those meant for users."""
    heard: set[str] = set()
    for_users: set[str] = set()

    def hear(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        text = f"{category.__name__}: {message}"
        if text not in heard:
            heard.add(text)
            listener.warned(text)
        if issubclass(category, UserWarning):
            for_users.add(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = hear
        yield for_users


def _first_line(error: BaseException) -> str:
    reason = str(error) if isinstance(error, RobustbenchError) else f"{type(error).__name__}: {error}"
    return reason.strip().partition("\n")[0][:LONGEST_REASON]


def _failure(error: BaseException, environment: Environment) -> dict[str, Any]:
    """Return what is recorded of a cell that raised."""
    return {
        "status": "oom" if is_out_of_memory(error) else "failed",
        "reason": _printable(_first_line(error), environment)[:LONGEST_REASON],
        "traceback": _printable(traceback.format_exc(), environment),
    }


def _printable(text: str, environment: Environment) -> str:
    """Return `text` as it may be stored: no folder of this machine, nothing that UTF-8 cannot hold."""
    folders = [environment.data_dir, *(path.parent for path in environment.plugins)]
    folders += [folder for folder in (environment.folder, environment.updates_in) if folder]
    return without_paths(text, *folders).encode(errors="backslashreplace").decode()


def simulate(
    cell: Cell,
    environment: Environment,
    after_round: Callable[[int], None] | None = None,
    chunk_divisor: int = 1,
    every: int | None = None,
) -> Simulation:
    """Return the finished simulation of `cell`, begun where its checkpoint is, if there is one.

    Parameters
    ----------
    cell : Cell
        What to simulate.
    environment : Environment
        Where.
    after_round : callable, optional
        Called with the rounds finished.
    chunk_divisor : int
        Divides how many clients are trained as one batch.
    every : int, optional
        Rounds between checkpoints, as in :class:`~robustbench_fl.sweep.runner.checkpoints.Checkpoint`.
    """
    simulation = prepared(cell, environment, chunk_divisor)
    if environment.folder is None:
        simulation.run(after_round)
        return simulation
    checkpoint = Checkpoint(environment.folder, simulation, every)
    checkpoint.resume()
    simulation.run(both(checkpoint.after_round, after_round or (lambda finished: None)))
    return simulation


def prepared(cell: Cell, environment: Environment, chunk_divisor: int = 1) -> Simulation:
    """Return the simulation of `cell` before its first round."""
    federation = federation_of(World.of(cell), environment)
    methods = Methods(
        model=build.make("models", cell.model).build(federation.image_shape, federation.n_classes),
        rule=build.make("aggregators", cell.aggregator),
        attack=build.make("attacks", cell.attack),
    )
    return Simulation(
        cell,
        federation,
        methods,
        engine=environment.engine,
        chunk_divisor=chunk_divisor,
        updates_in=environment.updates_in,
    )


@lru_cache(maxsize=2)
def _arrays(dataset: str, data_dir: Path, download: bool) -> Arrays:
    return shared(build.make("datasets", dataset), data_dir, download=download)


@lru_cache(maxsize=1)
def federation_of(world: World, environment: Environment) -> Federation:
    """Return the federation of a world; neighbouring cells of a sweep mostly share it."""
    arrays = _arrays(world.dataset, environment.data_dir, environment.download)
    return make_federation(arrays, spread(world, arrays), device=environment.device)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch and NumPy on one thread: small networks run fastest so, and sums keep their order.

    Within another block of it only torch is looked after, since finding NumPy's libraries takes
    milliseconds: a worker holds one block around all of its cells.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    outermost = not _ONE_THREAD.get()
    token = _ONE_THREAD.set(True)
    try:
        with threadpool_limits(limits=1, user_api="blas") if outermost else nullcontext():
            yield
    finally:
        _ONE_THREAD.reset(token)
        torch.set_num_threads(before)


_ONE_THREAD: ContextVar[bool] = ContextVar("one_thread", default=False)


def peak_memory_mb() -> float:
    """Return the peak memory of this process since the first call, before which there were only imports."""
    return round(_peak_memory_mb() - _peak_before_first_cell(), 1)


@lru_cache(maxsize=1)
def _peak_before_first_cell() -> float:
    return _peak_memory_mb()


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
