"""Where data lies on this machine: the one data directory, and what is derived from it."""

from __future__ import annotations

import os
from pathlib import Path

from robustbench_fl.core.errors import UsageError


def default_data_dir() -> Path:
    """Return ``$ROBUSTBENCH_FL_DATA``, else the user's data directory."""
    if given := os.environ.get("ROBUSTBENCH_FL_DATA"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_data_dir("robustbench-fl"))


def cache_dir() -> Path:
    """Return ``$ROBUSTBENCH_FL_CACHE``, else the user's cache directory.

    It holds only what can be made again, and may be deleted at any time.
    """
    if given := os.environ.get("ROBUSTBENCH_FL_CACHE"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_cache_dir("robustbench-fl"))


def inside(data_dir: Path, path: str, name: str) -> Path:
    """Return `path` relative to `data_dir`, as it may be stored.

    Parameters
    ----------
    data_dir : Path
        The data directory.
    path : str
        As the user gave it: relative to `data_dir`, or absolute and in it.
    name : str
        The data set, for the message.

    Raises
    ------
    UsageError
        If it leads out of `data_dir`: results are shared, and hold no paths of one machine.
    """
    root = os.path.abspath(data_dir)
    relative = os.path.relpath(os.path.join(root, os.path.expanduser(path)), root)
    if relative == os.curdir or relative.split(os.sep)[0] == os.pardir:
        raise UsageError(
            f"{name}: {path!r} is not in the data directory {root}.\n"
            "Results name files relative to it. Put the file or a link to it there, or point --data-dir "
            "(or $ROBUSTBENCH_FL_DATA) to its folder."
        )
    return Path(relative)
