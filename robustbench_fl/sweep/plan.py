"""What the main process asks of methods: the plan of a sweep, and whether its data is there.

Every function here imports torch when it is called, so a sweep calls them through
:class:`~robustbench_fl.sweep.runner.processes.MethodProcess`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.errors import UsageError
from robustbench_fl.sweep.config import Sweep, make_sweep, united


@dataclass(frozen=True)
class Plan:
    """A sweep's cells.

    Parameters
    ----------
    sweep : Sweep
        What was asked for, united with what the folder held; every method in its canonical text.
    cells : list of Planned
        Every cell of it once, in the order of its axes.
    asked : frozenset of str, optional
        Keys of the cells that were asked for now, ``None`` where these are all.
    """

    sweep: Sweep
    cells: list[Planned]
    asked: frozenset[str] | None = None


def plan_of(
    asked: Sweep, held: dict[str, Any] | None, source: str, folder: str, data_dir: Path | None = None
) -> Plan:
    """Return the plan of `asked` in a folder that holds the sweep `held`.

    Parameters
    ----------
    asked : Sweep
        As read.
    held : dict, optional
        The table of the folder's ``sweep.toml``, ``None`` for a new folder.
    source, folder : str
        Where both were read from, for error messages.
    data_dir : Path, optional
        Where the user's own data sets lie; by default the one data directory.

    Raises
    ------
    UsageError
        If the folder holds a sweep with other settings, a method is unknown, or what a pilot
        picked, which the sweep names, does not fit it.
    """
    from robustbench_fl.sweep.expand import canonical, expand
    from robustbench_fl.sweep.strengths import narrowed
    from robustbench_fl.sweep.tuning import with_tuned

    wanted = whole = narrowed(with_tuned(canonical(asked, source, data_dir)))
    if held:
        whole = united(_canonical_held(held, folder), wanted)
    cells = expand(whole)
    if whole == wanted:
        return Plan(whole, cells)
    return Plan(whole, cells, frozenset(planned.cell.key for planned in expand(wanted)))


def prepare_data(datasets: Iterable[str], data_dir: Path, *, download: bool) -> None:
    """Make sure that data sets are there, and shared between processes, before anything runs.

    Raises
    ------
    MissingDataError
        With what was looked for, where, and how to get it.
    """
    from robustbench_fl.api import build
    from robustbench_fl.data.shared import share

    for dataset in datasets:
        share(build.make("datasets", dataset), data_dir, download=download)


def copies_of(datasets: Iterable[str], data_dir: Path) -> dict[str, Path]:
    """Return the folders of the copies that :func:`prepare_data` made, by data set.

    Data sets that are not read from files have none.
    """
    from robustbench_fl.api import build
    from robustbench_fl.data.shared import copy_of

    copies = {text: copy_of(build.make("datasets", text), data_dir) for text in datasets}
    return {text: copy.folder for text, copy in copies.items() if copy}


def _canonical_held(held: dict[str, Any], folder: str) -> Sweep:
    """Return the sweep that a folder holds."""
    from robustbench_fl.sweep.expand import canonical

    try:
        return canonical(make_sweep(held, {}, "sweep.toml of the folder"))
    except UsageError as error:
        raise UsageError(
            f"The sweep that {folder!r} holds cannot be read: {error}\n"
            "Give the --plugin files it was run with, or choose another folder with --out."
        ) from None
