"""The flags that say where and with what cells are computed, none of which changes a number."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from robustbench_fl.cli.options import data_dir_option
from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.core.cell import Planned
    from robustbench_fl.engine.training import Engine
    from robustbench_fl.sweep.runner.environment import Environment
    from robustbench_fl.sweep.runner.processes import MethodProcess

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "-j",
        "--jobs",
        default="auto",
        show_default=True,
        metavar="N",
        help="Worker processes; auto = one a physical core.",
    ),
    data_dir_option,
    click.option("--download", is_flag=True, help="Allow fetching missing data sets."),
    click.option(
        "--engine",
        type=click.Choice(["auto", "stacked", "loop"]),
        default="auto",
        show_default=True,
        help="Train clients as one batch or one by one.",
    ),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to compute; auto = a GPU if there is one.",
    ),
)


@dataclass(frozen=True)
class Place:
    """Where cells are computed, as the user wants it.

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
    """

    jobs: int
    data_dir: Path | None
    download: bool
    engine: Engine
    device: Literal["auto", "cpu", "cuda"]


def environment_options(function: F) -> F:
    """Add the flags of this module; `function` gets them as one argument, ``place``."""

    @functools.wraps(function)
    def wrapper(
        jobs: str,
        data_dir: Path | None,
        download: bool,
        engine: Engine,
        device: Literal["auto", "cpu", "cuda"],
        **arguments: Any,
    ) -> Any:
        place = Place(_workers(jobs), data_dir, download, engine, device)
        return function(place=place, **arguments)

    decorated: Any = wrapper
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


def environment_of(
    place: Place, cells: Sequence[Planned], plugins: tuple[Path, ...], methods: MethodProcess
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

    data_dir = place.data_dir or default_data_dir()
    runnable = [planned.cell for planned in cells if not planned.infeasible]
    asks = bool(cells) and place.device != "cpu"
    device = methods.call(chosen_device, place.device) if asks else "cpu"
    if datasets := sorted({cell.dataset for cell in runnable}):
        methods.call(prepare_data, datasets, data_dir, download=place.download)
    return Environment(
        data_dir=data_dir,
        download=place.download,
        engine=place.engine,
        device=device,
        plugins=tuple(path.resolve() for path in plugins),
    )


def _workers(text: str) -> int:
    if text == "auto":
        from robustbench_fl.sweep.runner.cores import available_cores

        return available_cores()
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise UsageError(f"--jobs must be auto or a whole number from 1 to 9999, got {text!r}.")
    return int(text)
