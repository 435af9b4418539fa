"""The flags that say where and with what cells are computed, and the machines they describe.

None of them changes a number.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from robustbench_fl.cli.options import add_as, data_dir_option, typed
from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.core.cell import Planned
    from robustbench_fl.engine.training import Engine
    from robustbench_fl.sweep.runner.attempts import KeepLog
    from robustbench_fl.sweep.runner.backend import Backend
    from robustbench_fl.sweep.runner.environment import Environment
    from robustbench_fl.sweep.runner.policy import RunPolicy
    from robustbench_fl.sweep.runner.processes import MethodProcess
    from robustbench_fl.sweep.runner.ray_cluster import RayCluster

_HERE = (
    click.option(
        "-j",
        "--jobs",
        default="auto",
        show_default=True,
        metavar="N",
        help="Worker processes; auto is one for each physical core.",
    ),
    data_dir_option,
    click.option("--download", is_flag=True, help="Download missing data sets."),
    click.option(
        "--engine",
        type=click.Choice(["auto", "stacked", "loop"]),
        default="auto",
        show_default=True,
        help="Train clients as one batch (stacked) or one after the other (loop).",
    ),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to compute; auto is a GPU if there is one.",
    ),
    click.option(
        "--updates-in",
        type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
        metavar="DIR",
        help="Folder for files with a round's updates, where these are larger than the memory.",
    ),
)
_ELSEWHERE = (
    click.option(
        "--backend",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Run cells in processes of this machine, or on a Ray cluster.",
    ),
    click.option(
        "--address",
        metavar="ADDRESS",
        help="Address of the Ray cluster: host:port, or auto if this machine is part of it.  [default: auto]",
    ),
    click.option(
        "--gpus-per-cell",
        type=click.FloatRange(0, min_open=True),
        metavar="NUMBER",
        help="GPUs for each cell on the Ray cluster, such as 0.1.  [default: none, cells run on CPUs]",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where and with what cells are computed, as the user wants it.

    Parameters
    ----------
    jobs : int
        Worker processes.
    data_dir : Path, optional
        Where data sets lie.
    download : bool
        Whether missing files may be fetched.
    engine : {"auto", "stacked", "loop"}
        How clients are trained.
    device : {"auto", "cpu", "cuda"}
        Where tensors live.
    updates_in : Path, optional
        A folder for files with a round's updates.
    backend : {"local", "ray"}
        Worker processes of this machine, or a cluster.
    address : str, optional
        Of the cluster.
    gpus_per_cell : float, optional
        GPUs that a cell gets there.
    suite : mapping, optional
        The suite that cells are run for, as their provenance names it.
    """

    jobs: int
    data_dir: Path | None
    download: bool
    engine: Engine
    device: Literal["auto", "cpu", "cuda"]
    updates_in: Path | None = None
    backend: Literal["local", "ray"] = "local"
    address: str | None = None
    gpus_per_cell: float | None = None
    suite: Mapping[str, str | int] | None = None


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


def _here(
    jobs: str,
    data_dir: Path | None,
    download: bool,
    engine: Engine,
    device: Literal["auto", "cpu", "cuda"],
    updates_in: Path | None,
) -> Where:
    return Where(
        jobs=_workers(jobs),
        data_dir=data_dir,
        download=download,
        engine=engine,
        device=device,
        updates_in=None if updates_in is None else updates_in.resolve(),
    )


def _anywhere(
    jobs: str,
    data_dir: Path | None,
    download: bool,
    engine: Engine,
    device: Literal["auto", "cpu", "cuda"],
    updates_in: Path | None,
    backend: Literal["local", "ray"],
    address: str | None,
    gpus_per_cell: float | None,
) -> Where:
    where = replace(
        _here(jobs, data_dir, download, engine, device, updates_in),
        backend=backend,
        address=address,
        gpus_per_cell=gpus_per_cell,
    )
    _check(where, click.get_current_context().params)
    return where


here_options = add_as("where", _here, *_HERE)
"""Adds the flags for this machine; a command gets them as one argument, ``where``."""
where_options = add_as("where", _anywhere, *_HERE, *_ELSEWHERE)
"""Adds the flags for this machine and for a cluster, in the same way."""


def environment_of(
    where: Where, cells: Sequence[Planned], plugins: tuple[Path, ...], methods: MethodProcess
) -> Environment:
    """Return the environment for `cells`, once their data is there and the device is known.

    Raises
    ------
    UsageError
        If data is missing, or the device.
    """
    from robustbench_fl.data.locations import default_data_dir
    from robustbench_fl.sweep.plan import prepare_data
    from robustbench_fl.sweep.runner.environment import Environment, chosen_device

    data_dir = where.data_dir or default_data_dir()
    asks = bool(cells) and where.device != "cpu"
    device = methods.call(chosen_device, where.device) if asks else "cpu"
    if datasets := _datasets(cells):
        methods.call(prepare_data, datasets, data_dir, download=where.download)
    return Environment(
        data_dir=data_dir,
        download=where.download,
        engine=where.engine,
        device=device,
        plugins=tuple(path.resolve() for path in plugins),
        suite=None if where.suite is None else tuple(where.suite.items()),
        updates_in=where.updates_in,
    )


@contextmanager
def site_of(
    where: Where, cells: Sequence[Planned], plugins: tuple[Path, ...], methods: MethodProcess
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
        environment = environment_of(where, cells, plugins, methods)
        methods.close()
        yield Site(where.jobs, environment, functools.partial(LocalBackend, where.jobs))
        return
    from robustbench_fl.sweep.runner.ray_backend import RayBackend
    from robustbench_fl.sweep.runner.ray_cluster import required_ray

    required_ray()
    # The cluster may have a GPU where this machine has none.
    environment = environment_of(replace(where, device="cpu"), cells, plugins, methods)
    environment = replace(environment, device="cuda" if where.gpus_per_cell else "cpu")
    datasets = _datasets(cells)
    copies = methods.call(copies_of, datasets, environment.data_dir) if datasets else {}
    methods.close()
    with _cluster(where) as cluster:
        yield Site(cluster.slots, environment, functools.partial(_ray_backend, RayBackend, cluster, copies))


def _datasets(cells: Sequence[Planned]) -> list[str]:
    return sorted({planned.cell.dataset for planned in cells if not planned.infeasible})


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


def _check(where: Where, given: Mapping[str, Any]) -> None:
    if where.backend == "local":
        for flag, value in (("--address", where.address), ("--gpus-per-cell", where.gpus_per_cell)):
            if value is not None:
                raise UsageError(f"{flag} is for --backend ray.")
        return
    if typed("jobs"):
        raise UsageError(
            "--jobs is for --backend local. The nodes of a Ray cluster say how many cells run at once when "
            "they are started: ray start --num-cpus N"
        )
    if given["device"] == "cuda" and where.gpus_per_cell is None:
        raise UsageError(
            "--device cuda on a Ray cluster needs --gpus-per-cell: the share of a GPU for each cell."
        )
    if given["device"] == "cpu" and where.gpus_per_cell is not None:
        raise UsageError("--device cpu uses no GPU, --gpus-per-cell asks for one: give one of them.")


def _workers(text: str) -> int:
    if text == "auto":
        from robustbench_fl.sweep.runner.cores import available_cores

        return available_cores()
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise UsageError(f"--jobs must be auto or a whole number from 1 to 9999, got {text!r}.")
    return int(text)
