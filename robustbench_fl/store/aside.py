"""Damaged files are kept under another name, for whoever may still read something out of them."""

from __future__ import annotations

import os
import warnings
from itertools import count
from pathlib import Path

from robustbench_fl.core.files import WriteError


def set_aside(path: Path, *, keep: bool = False) -> Path:
    """Give a damaged file another name, which is returned; with `keep` it has both.

    Raises
    ------
    WriteError
        If it cannot be renamed.
    """
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    try:
        os.link(path, aside) if keep else path.rename(aside)
    except OSError as error:
        raise WriteError.of(aside, error) from None
    return aside


def warn(what: str) -> None:
    """Tell the user, in one line, of something damaged."""
    # Python says the same message of the same line once, however often a command reads the folder.
    warnings.warn(what, stacklevel=1)
