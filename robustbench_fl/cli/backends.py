"""The flags that say on what machines cells run, and the backend they describe."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
from click.core import ParameterSource

from robustbench_fl.cli.environment import Place, environment_of
from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.core.cell import Planned
    from robustbench_fl.sweep.runner.backend import Backend
    from robustbench_fl.sweep.runner.environment import Environment
    from robustbench_fl.sweep.runner.local import KeepLog
    from robustbench_fl.sweep.runner.policy import RunPolicy
    from robustbench_fl.sweep.runner.processes import MethodProcess
    from robustbench_fl.sweep.runner.ray_cluster import RayCluster

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--backend",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Worker processes of this machine, or a running Ray cluster.",
    ),
    click.option(
        "--address",
        metavar="ADDRESS",
        help="Of the Ray cluster: host:port, or auto for the one this machine is part of.  [default: auto]",
    ),
    click.option(
        "--gpus-per-cell",
        type=click.FloatRange(0, min_open=True),
        metavar="NUMBER",
        help="GPUs of the Ray cluster a cell gets, such as 0.1.  [default: none, cells run on CPUs]",
    ),
)


@dataclass(frozen=True)
class Where:
    """On what machines cells run, as the user wants it.

    Parameters
    ----------
    backend : {"local", "ray"}
        Worker processes of this machine, or a cluster.
    address : str, optional
        Of the cluster.
    gpus_per_cell : float, optional
        GPUs that a cell gets there.
    """

    backend: Literal["local", "ray"]
    address: str | None
    gpus_per_cell: float | None


@dataclass(frozen=True)
class Site:
    """Machines that are ready to run cells.

    Parameters
    ----------
    jobs : int
        How many cells run at once.
    environment : Environment
        What they need.
    backend : callable
        Takes environment, policy and what keeps logs, and returns the backend.
    """

    jobs: int
    environment: Environment
    backend: Callable[[Environment, RunPolicy | None, KeepLog | None], Backend]


def backend_options(function: F) -> F:
    """Add the flags of this module; `function` gets them as one argument, ``where``."""

    @functools.wraps(function)
    def wrapper(
        backend: Literal["local", "ray"], address: str | None, gpus_per_cell: float | None, **arguments: Any
    ) -> Any:
        where = Where(backend, address, gpus_per_cell)
        _check(where, click.get_current_context())
        return function(where=where, **arguments)

    decorated: Any = wrapper
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


@contextmanager
def site_of(
    where: Where, place: Place, cells: Sequence[Planned], plugins: tuple[Path, ...], methods: MethodProcess
) -> Iterator[Site]:
    """Give the machines for `cells`, once their data is there; `methods` is closed by then.

    Raises
    ------
    UsageError
        If data is missing, the device, Ray or its cluster.
    """
    from robustbench_fl.sweep.plan import copies_of
    from robustbench_fl.sweep.runner.local import LocalBackend

    if where.backend == "local":
        environment = environment_of(place, cells, plugins, methods)
        methods.close()
        yield Site(place.jobs, environment, functools.partial(LocalBackend, place.jobs))
        return
    from robustbench_fl.sweep.runner.ray_backend import RayBackend
    from robustbench_fl.sweep.runner.ray_cluster import required_ray

    required_ray()
    # Whether there is a GPU is the cluster's business, not this machine's.
    environment = environment_of(replace(place, device="cpu"), cells, plugins, methods)
    environment = replace(environment, device="cuda" if where.gpus_per_cell else "cpu")
    datasets = sorted({planned.cell.dataset for planned in cells if not planned.infeasible})
    copies = methods.call(copies_of, datasets, environment.data_dir) if datasets else {}
    methods.close()
    with _cluster(where) as cluster:
        yield Site(cluster.slots, environment, functools.partial(_ray_backend, RayBackend, cluster, copies))


def _cluster(where: Where) -> RayCluster:
    from robustbench_fl.sweep.runner.ray_cluster import RayCluster

    return RayCluster(where.address or "auto", where.gpus_per_cell or 0.0)


def _ray_backend(
    kind: Any,
    cluster: RayCluster,
    copies: dict[str, Path],
    environment: Environment,
    policy: RunPolicy | None = None,
    keep_log: KeepLog | None = None,
) -> Backend:
    backend: Backend = kind(cluster, environment, policy, keep_log, copies)
    return backend


def _check(where: Where, context: click.Context) -> None:
    given = context.params
    if where.backend == "local":
        for flag, value in (("--address", where.address), ("--gpus-per-cell", where.gpus_per_cell)):
            if value is not None:
                raise UsageError(f"{flag} is for --backend ray.")
        return
    if context.get_parameter_source("jobs") is not ParameterSource.DEFAULT:
        raise UsageError(
            "--jobs is for --backend local. How many cells a Ray cluster runs at once is said where its "
            "nodes are started: ray start --num-cpus N"
        )
    if given["device"] == "cuda" and where.gpus_per_cell is None:
        raise UsageError(
            "--device cuda on a Ray cluster: say with --gpus-per-cell how much of a GPU a cell gets."
        )
    if given["device"] == "cpu" and where.gpus_per_cell is not None:
        raise UsageError("--device cpu uses no GPU, --gpus-per-cell asks for one: give one of them.")
