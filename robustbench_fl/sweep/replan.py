"""The plan of a folder made anew, from its ``sweep.toml`` and its cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustbench_fl.core.foreign import command
from robustbench_fl.store import Store, StoreError
from robustbench_fl.store.aside import warn
from robustbench_fl.store.codec import seal
from robustbench_fl.store.lock import locked
from robustbench_fl.store.plan_file import PLAN, SWEEP, write_rows
from robustbench_fl.store.versions import outdated, without_versions


def existing(folder: Path) -> Store:
    """Return the store of a folder that holds a sweep; a damaged plan is made anew when it is read.

    Raises
    ------
    StoreError
        If it holds none.
    """
    return Store.existing(folder, replan)


def replan(store: Store, why: str, plugins: Sequence[Path] = ()) -> None:
    """Make the plan of a folder anew, and say so.

    A finished cell of an older version of its methods keeps its place. Plug-ins that ``sweep.toml`` names
    are not run unless they are given: it may be anybody's.

    Parameters
    ----------
    store : Store
        Of the folder.
    why : str
        What is wrong with the plan; completes "the plan …".
    plugins : sequence of Path
        Plug-in files of the sweep.

    Raises
    ------
    StoreError
        If plug-ins are missing, or ``sweep.toml`` is damaged.
    """
    with locked(store.folder):
        if not (store.plan_problem() or outdated(store)):
            return  # another process was first
        rows, unplanned = _rows(store, why, plugins)
        write_rows(store.folder / PLAN, map(seal, rows))
    more = f" {unplanned} finished cells are not of this sweep." if unplanned else ""
    warn(f"{PLAN} in {str(store.folder)!r} {why}. It was made anew from {SWEEP} and the cells.{more}")


def _rows(store: Store, why: str, plugins: Sequence[Path]) -> tuple[list[dict[str, Any]], int]:
    """Return the plan's rows, and how many finished cells have no place in it."""
    # Here, so that reading a folder whose plan is whole loads none of it.
    from robustbench_fl.sweep.config import make_sweep
    from robustbench_fl.sweep.plan import plan_of
    from robustbench_fl.sweep.run import plan_row
    from robustbench_fl.sweep.runner.processes import MethodProcess

    folder = str(store.folder)
    sweep = make_sweep(store.read_sweep() or {}, {}, "sweep.toml of the folder")
    if sweep.plugins and not plugins:
        flags = [word for name in sweep.plugins for word in ("--plugin", name)]
        raise StoreError(
            f"{PLAN} in {folder!r} {why}, and the plug-ins of its sweep are needed to make it anew: "
            f"{command('robustbench-fl', 'recover', folder, *flags)}"
        )
    with MethodProcess(tuple(plugins)) as methods:
        plan = methods.call(plan_of, sweep, None, f"{SWEEP} of {folder}", folder)
    rows = {planned.cell.key: plan_row(planned) for planned in plan.cells}
    places = {without_versions(row): key for key, row in rows.items()}
    names = ("key", "cell", "labels", "facts")
    unplanned = 0
    stored = list(store.finished())
    taken = {record["key"] for record in stored}
    for record in stored:
        place = places.get(without_versions(record))
        if record["key"] in rows:
            continue
        if place is None or place in taken:
            unplanned += 1
        else:
            rows[place] = {name: record[name] for name in names}
    return list(rows.values()), unplanned
