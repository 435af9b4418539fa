"""Whether a folder may be written: it is new, empty, or a sweep's, marked by its ``sweep.toml``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from robustbench_fl.core.files import read_regular
from robustbench_fl.core.places import own_folder
from robustbench_fl.core.sealed import is_sealed
from robustbench_fl.store.errors import StoreError
from robustbench_fl.store.lines import note_of
from robustbench_fl.store.lock import LOCK
from robustbench_fl.store.plan_file import PLAN, SWEEP

SUBFOLDERS = ("cells", "claims", "checkpoints", "figures", "logs", "plugins", "tensorboard")
"""All folders that are made in a sweep's folder."""
_PILOTS = ("pilot", "tuning")
"""Folders of the sweeps that a pilot runs: it may come before the sweep whose folder this is."""

_LEFT_BEHIND = re.compile(rf"{re.escape(LOCK)}|\.({re.escape(SWEEP)}|{re.escape(PLAN)})\..+\.tmp")
"""What a sweep that was killed in its first moment leaves."""
_GZIP = b"\x1f\x8b\x08"


def require_ours(folder: Path) -> None:
    """Refuse to write into a folder that holds anything else than a sweep.

    Raises
    ------
    StoreError
        If it does, or is no folder.
    PlaceError
        If one of its subfolders is a link.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if not _LEFT_BEHIND.fullmatch(name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"Cannot read {str(folder)!r}: {error.strerror or error}.") from None
    if names and not is_ours(folder):
        some = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
        raise StoreError(
            f"{str(folder)!r} already exists, is not empty, and is not a sweep's folder: it holds {some}. "
            "Nothing was written. Give --out a new or an empty folder."
        )
    for name in (*SUBFOLDERS, *_PILOTS):
        own_folder(folder / name)


def is_ours(folder: Path) -> bool:
    """Whether a folder holds a sweep: its ``sweep.toml`` is sealed, or its plan, or both are older ones.

    So does one that a pilot has made for a sweep that is still to come.
    """
    return _holds_sweep(folder) or any(_holds_sweep(folder / name) for name in _PILOTS)


def _holds_sweep(folder: Path) -> bool:
    sweep, plan = _content(folder / SWEEP), _content(folder / PLAN)
    if is_sealed(sweep) or note_of(folder / PLAN).kind == "plan":
        return True
    return os.path.lexists(folder / SWEEP) and plan.startswith(_GZIP)


def _content(path: Path) -> bytes:
    try:
        return read_regular(path)[0]
    except OSError:
        return b""
