"""The connection to a Ray cluster: what it offers, and handing tasks to it. Without torch."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.errors import RobustbenchError, UsageError
from robustbench_fl.data.copies import ARRAYS, opened
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.processes import single_threaded
from robustbench_fl.sweep.runner.ray_task import Job, Ledger, Note, digest_of_program, run_cell

RETRIES = 3
"""How often Ray runs a cell again whose worker process or node was lost."""

_PATIENCE = 10.0
"""Seconds the head of a cluster has to take a connection."""

Submit = Callable[[Planned], Any]
"""Hands a cell to the cluster and returns the reference of its answer."""


class RayCluster:
    """A connection to a running Ray cluster, from entering to leaving it as a context.

    Leaving ends the connection and what was started through it, never a cluster that others started.

    Parameters
    ----------
    address : str
        ``auto`` for the cluster that this machine is part of, or ``host:port`` of its head.
    gpus_per_cell : float
        Share of a GPU, or number of GPUs, that a cell gets.
    """

    def __init__(self, address: str = "auto", gpus_per_cell: float = 0.0) -> None:
        self.address = address
        self.gpus_per_cell = gpus_per_cell
        self._data: dict[Path, Any] = {}

    def __enter__(self) -> Self:
        """Connect.

        Raises
        ------
        UsageError
            If Ray is not installed, or there is no cluster, or none with room for a cell.
        """
        ray = required_ray()
        with _own_signal_handlers():
            try:
                _knock(self.address)
                ray.init(
                    address=self.address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    runtime_env={"env_vars": single_threaded()},
                )
            except Exception as error:
                raise UsageError(
                    f"--address {self.address}: no Ray cluster answers ({_first_line(error)}).\n"
                    "Start one with: ray start --head   On further machines: ray start --address HOST:6379\n"
                    "One that requires a token takes RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here too."
                ) from None
        if not self.slots:
            held = ", ".join(f"{self._has(name):g} {name}" for name in ("CPU", "GPU"))
            self.__exit__(None, None, None)
            raise UsageError(
                f"The Ray cluster has no room for a cell: it has {held} in all, and a cell takes 1 CPU"
                + (f" and {self.gpus_per_cell:g} GPU (--gpus-per-cell)." if self.gpus_per_cell else ".")
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        import ray

        self._data.clear()
        with _own_signal_handlers():
            ray.shutdown()

    @property
    def slots(self) -> int:
        """How many cells the cluster has room for at once, as it is now."""
        slots = self._has("CPU")
        if self.gpus_per_cell:
            slots = min(slots, self._has("GPU") / self.gpus_per_cell)
        return int(slots + 1e-9)

    def ledger(self) -> Any:
        """Start the actor that keeps what tasks say, on this node: it lives as long as the run."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return ray.remote(Ledger).options(
            num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here
        ).remote()  # fmt: skip

    def notes(self, ledger: Any) -> list[Note]:
        """Return what tasks have said since the last call."""
        import ray

        notes: list[Note] = ray.get(ledger.read.remote())
        return notes

    def submitter(
        self, environment: Environment, policy: RunPolicy, copies: Mapping[str, Path], ledger: Any
    ) -> Submit:
        """Return what hands cells to the cluster.

        Parameters
        ----------
        environment, policy
            For all cells.
        copies : mapping of str to Path
            Where the copies of data sets in files lie: each is put into the object store once, from
            where Ray brings it to a node once, for all of the node's processes.
        ledger : actor handle
            From :meth:`ledger`.
        """
        import ray

        texts = tuple(path.read_bytes() for path in environment.plugins)
        job = ray.put(Job(environment, policy, texts, digest_of_program()))
        task = ray.remote(run_cell).options(
            num_cpus=1, num_gpus=self.gpus_per_cell, max_retries=RETRIES, retry_exceptions=False
        )  # fmt: skip

        def submit(planned: Planned) -> Any:
            folder = copies.get(planned.cell.dataset)
            return task.remote(planned, job, None if folder is None else self._put(folder), ledger)

        return submit

    def _put(self, folder: Path) -> Any:
        """Return the reference of a data set in the object store."""
        import ray

        if folder not in self._data:
            arrays = opened(folder)
            if arrays is None:
                raise RobustbenchError(
                    f"The copy of a data set in {folder} went away during the run. Run the sweep again."
                )
            # Plain arrays: NumPy pickles those that are mapped into the stream, where nobody shares them.
            fields: dict[str, Any] = {name: np.asarray(getattr(arrays, name)) for name in ARRAYS}
            columns = {name: np.asarray(values) for name, values in arrays.columns.items()}
            self._data[folder] = ray.put(replace(arrays, **fields, columns=columns))
        return self._data[folder]

    def _has(self, resource: str) -> float:
        import ray

        resources: Any = ray.cluster_resources  # untyped there
        return float(resources().get(resource, 0.0))


def required_ray() -> Any:
    """Return the module.

    Raises
    ------
    UsageError
        With the command that installs it.
    """
    try:
        import ray
    except ImportError:
        raise UsageError(
            "--backend ray needs Ray, which is not installed. "
            "Install it with: pip install 'robustbench-fl[ray]'"
        ) from None
    return ray


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Put the handlers of signals back that Ray replaces."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _knock(address: str) -> None:
    """Raise ``OSError`` if nobody listens at a ``host:port``: Ray would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and "/" not in host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()


def _first_line(error: Exception) -> str:
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return said.strip().partition("\n")[0].rstrip(".") or type(error).__name__
