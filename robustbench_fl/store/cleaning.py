"""What can go from a sweep's folder, and its removal."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from robustbench_fl.core.files import WriteError
from robustbench_fl.core.places import own_folder
from robustbench_fl.core.status import FINAL, RETRIED
from robustbench_fl.store.claims import FOLDER as CLAIMS
from robustbench_fl.store.claims import refuse_running
from robustbench_fl.store.codec import PACKED
from robustbench_fl.store.errors import Damaged
from robustbench_fl.store.folder import Store
from robustbench_fl.store.ownership import SUBFOLDERS
from robustbench_fl.store.recovery import held_in
from robustbench_fl.store.runs import claims_in, run_of, runs_in

_TEMPORARY = re.compile(r"\..+\.tmp")
_ASIDE = re.compile(r"(.+)\.damaged-[0-9]+")


@dataclass(frozen=True)
class Removable:
    """What can be removed.

    Parameters
    ----------
    cells : dict
        By key, why its record can go.
    files : dict
        By path, why it can go.
    """

    cells: dict[str, str]
    files: dict[Path, str]


def stale(store: Store, *, take_over: bool = False) -> Removable:
    """Return what nothing reads any more: what killed processes left, and damaged files that are replaced.

    A finished cell whose record is whole stays, in the plan or not; so does a damaged file of which it is
    not known that all of it is elsewhere.

    Raises
    ------
    StoreError
        If a sweep is running into the folder.
    """
    refuse_running(store.folder, "clean it", take_over=take_over)
    planned = {row["key"] for row in store.planned()}
    statuses = store.statuses()
    cells = {
        key: f"is {status} and not in the plan"
        for key, status in statuses.items()
        if key not in planned and status not in FINAL
    }
    files: dict[Path, str] = {}
    for folder in (store.folder, *(store.folder / name for name in SUBFOLDERS)):
        own_folder(folder) if folder != store.folder else None
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if _TEMPORARY.fullmatch(path.name) and not path.is_dir():
                files[path] = "was never finished"
            elif (aside := _ASIDE.fullmatch(path.name)) and _is_replaced(path, aside[1], statuses):
                files[path] = "was damaged and set aside, and what it held is here"
    for _, _, path in claims_in(store.folder / CLAIMS):
        files[path] = "is a claim of a process that ended"
    for _, path in runs_in(store.folder / CLAIMS):
        files[path] = f"is of {run_of(path)}, which ended"
    return Removable(cells, files)


def _is_replaced(path: Path, name: str, statuses: Mapping[str, str]) -> bool:
    """Whether all that a damaged file was to hold, or still holds, is in the folder."""
    if name.endswith(".json"):
        return name[:-5] in statuses
    if name != PACKED:
        return (path.parent / name).exists()
    try:
        return held_in(path) <= statuses.keys()
    except (Damaged, OSError):
        return False


def failures(store: Store, *, take_over: bool = False) -> Removable:
    """Return the records of cells that failed or ran out of time: without them they are missing.

    Raises
    ------
    StoreError
        If a sweep is running into the folder.
    """
    refuse_running(store.folder, "clean it", take_over=take_over)
    return Removable(
        {key: f"is {status}" for key, status in store.statuses().items() if status in RETRIED}, {}
    )


def remove(store: Store, removable: Removable) -> None:
    """Remove `removable`.

    Raises
    ------
    WriteError
        If something cannot be removed.
    """
    store.drop(removable.cells)
    _unlink(removable.files)
    for folder in (CLAIMS, "cells"):
        try:
            (store.folder / folder).rmdir()
        except OSError:
            continue


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise WriteError.of(path, error) from None
