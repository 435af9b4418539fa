"""Where a file of a folder lies: no name leads out of the folder, and no link inside it is followed."""

from __future__ import annotations

import os
from pathlib import Path

from robustbench_fl.core.errors import UsageError

LONGEST_NAME = 255
"""Bytes of a file's name that all usual file systems take."""


class PlaceError(UsageError):
    """A name or a link that would lead out of the folder."""


def own_folder(path: Path) -> None:
    """Refuse a link where a folder of the sweep should be: it may lead anywhere.

    Raises
    ------
    PlaceError
        If `path` is one.
    """
    if path.is_symlink():
        raise PlaceError(
            f"{str(path)!r} is a link, and may lead out of the sweep's folder. Put a real folder there, "
            "or link the whole sweep's folder."
        )


def inside(folder: Path, name: str) -> Path:
    """Return where the file `name` of a sweep's folder lies.

    Parameters
    ----------
    folder : Path
        The sweep's folder; may itself be a link, which is the user's word.
    name : str
        One or more plain names with slashes between them, such as ``"logs/0123456789abcdef.log"``.

    Raises
    ------
    PlaceError
        If a part of the name is not plain, or a folder on the way is a link.
    """
    parts = name.split("/")
    for part in parts:
        if not is_plain(part):
            raise PlaceError(f"{part!r} (of {name!r}) is no plain file name. Nothing is written there.")
    place = folder
    for part in parts[:-1]:
        place = place / part
        own_folder(place)
    return place / parts[-1]


def is_plain(name: str) -> bool:
    """Whether `name` is the name of a file in a folder, and of nothing elsewhere.

    Examples
    --------
    >>> is_plain("heatmap-digits-iid-0.3.png"), is_plain(".."), is_plain("a/b"), is_plain("a\\x1b")
    (True, False, False, False)
    """
    return (
        name not in ("", os.curdir, os.pardir)
        and name.isprintable()
        and not set(name) & {"/", "\\", "\0"}
        and len(name.encode(errors="replace")) <= LONGEST_NAME
    )
