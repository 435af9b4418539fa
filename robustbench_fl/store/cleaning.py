"""What can go from a sweep's folder, and its removal."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from robustbench_fl.core.files import WriteError
from robustbench_fl.core.places import own_folder
from robustbench_fl.core.status import RETRIED
from robustbench_fl.store.claims import FOLDER as CLAIMS
from robustbench_fl.store.claims import claims_in, refuse_running, runs_in
from robustbench_fl.store.folder import Store

_FOLDERS = ("cells", "logs", "figures", "checkpoints")
_TEMPORARY = re.compile(r"\..+\.tmp")
_ASIDE = re.compile(r".+\.damaged-[0-9]+")


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


def stale(store: Store) -> Removable:
    """Return what nothing reads any more: cells of no plan, and what killed processes left.

    Raises
    ------
    StoreError
        If a sweep is running into the folder.
    """
    refuse_running(store.folder, "clean it")
    planned = {row["key"] for row in store.planned()}
    cells = {key: "is not in the plan" for key in store.statuses() if key not in planned}
    files: dict[Path, str] = {}
    for folder in (store.folder, *(store.folder / name for name in _FOLDERS)):
        own_folder(folder) if folder != store.folder else None
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if _TEMPORARY.fullmatch(path.name) and path.is_file():
                files[path] = "was never finished"
            elif _ASIDE.fullmatch(path.name):
                files[path] = "was damaged and set aside"
    own_folder(store.folder / CLAIMS)
    for _, _, path in claims_in(store.folder / CLAIMS):
        files[path] = "is a claim of a process that ended"
    for _, path in runs_in(store.folder / CLAIMS):
        files[path] = "is of a process that ended"
    return Removable(cells, files)


def failures(store: Store) -> Removable:
    """Return the records of cells that failed or ran out of time: without them they are missing.

    Raises
    ------
    StoreError
        If a sweep is running into the folder.
    """
    refuse_running(store.folder, "clean it")
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
