"""One planned cell to one record, whatever happens on the way."""

from __future__ import annotations

import resource
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from robustbench_fl import build
from robustbench_fl.cell import Cell
from robustbench_fl.data.contracts import Arrays
from robustbench_fl.data.federation import Federation, make_federation
from robustbench_fl.engine.outcome import outcome
from robustbench_fl.engine.simulation import Methods, Simulation
from robustbench_fl.errors import RobustbenchError
from robustbench_fl.planned import Planned
from robustbench_fl.provenance import without_paths
from robustbench_fl.record import CellRecord
from robustbench_fl.runner.environment import Environment
from robustbench_fl.runner.recording import record

LONGEST_REASON = 500
"""Characters of a failure's first line that tables show; the traceback holds the rest."""


@dataclass(frozen=True)
class World:
    """What decides who holds which data: cells that agree in it are comparable pair by pair."""

    dataset: str
    partition: str
    seed: int
    clients: int
    root_size: int
    validation: float

    @classmethod
    def of(cls, cell: Cell) -> World:
        """Return the world of `cell`."""
        held = cell.settings
        return cls(cell.dataset, cell.partition, cell.seed, held.clients, held.root_size, held.validation)


def execute(planned: Planned, environment: Environment) -> CellRecord:
    """Run `planned` and return its record; a failure is a record too.

    Only ``KeyboardInterrupt`` and ``SystemExit`` pass through.
    """
    if planned.infeasible:
        return record(planned, environment, status="infeasible", reason=planned.infeasible)
    with warnings.catch_warnings(record=True) as caught, one_thread():
        warnings.simplefilter("always")
        imports = _peak_before_first_cell()
        try:
            simulation = simulate(planned.cell, environment)
            parts = outcome(simulation, peak_memory_mb=round(_peak_memory_mb() - imports, 1))
        except Exception as error:
            parts = _failure(error, environment)
    said = {
        _printable(str(warning.message), environment)
        for warning in caught
        if issubclass(warning.category, UserWarning)
    }
    return record(planned, environment, warnings=sorted(said), **parts)


def _failure(error: Exception, environment: Environment) -> dict[str, Any]:
    """Return what is recorded of a cell that raised."""
    oom = isinstance(error, MemoryError | torch.OutOfMemoryError)
    oom |= isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch on a CPU
    reason = str(error) if isinstance(error, RobustbenchError) else f"{type(error).__name__}: {error}"
    return {
        "status": "oom" if oom else "failed",
        "reason": _printable(reason, environment).strip().partition("\n")[0][:LONGEST_REASON],
        "traceback": _printable(traceback.format_exc(), environment),
    }


def _printable(text: str, environment: Environment) -> str:
    """Return `text` as it may be stored: no folder of this machine, nothing that UTF-8 cannot hold."""
    folders = (environment.data_dir, *(path.parent for path in environment.plugins))
    return without_paths(text, *folders).encode(errors="backslashreplace").decode()


def simulate(cell: Cell, environment: Environment) -> Simulation:
    """Return the finished simulation of `cell`."""
    simulation = prepared(cell, environment)
    simulation.run()
    return simulation


def prepared(cell: Cell, environment: Environment) -> Simulation:
    """Return the simulation of `cell` before its first round."""
    federation = _federation(World.of(cell), environment)
    methods = Methods(
        model=build.make("models", cell.model).build(federation.image_shape, federation.n_classes),
        rule=build.make("aggregators", cell.aggregator),
        attack=build.make("attacks", cell.attack),
    )
    return Simulation(cell, federation, methods, engine=environment.engine)


@lru_cache(maxsize=2)
def _arrays(dataset: str, data_dir: Path, download: bool) -> Arrays:
    loaded: Arrays = build.make("datasets", dataset).load(data_dir, download=download)
    return loaded


@lru_cache(maxsize=1)
def _federation(world: World, environment: Environment) -> Federation:
    """Return the federation of a world; neighbouring cells of a sweep mostly share it."""
    return make_federation(
        _arrays(world.dataset, environment.data_dir, environment.download),
        build.make("partitions", world.partition),
        dataset_text=world.dataset,
        partition_text=world.partition,
        n_clients=world.clients,
        seed=world.seed,
        root_size=world.root_size,
        validation=world.validation,
        device=environment.device,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch and NumPy on one thread: small networks run fastest so, and sums keep their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _peak_before_first_cell() -> float:
    """Return the peak memory of this process before its first cell: what the imports took."""
    return _peak_memory_mb()


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
