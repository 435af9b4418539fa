"""Digests of files: what a data set's content is called."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path
from typing import Literal

from robustbench_fl.data.remembered import name_within, remembered, stamp_of

DIGITS = 16
"""Hex digits of a digest that names content, as of a cell's key."""
Algorithm = Literal["sha256", "md5"]


def open_data(path: Path) -> BufferedReader:
    """Open an ordinary file for reading; a link to one is followed.

    Raises
    ------
    OSError
        If there is none, or it is a pipe, a device, a folder …
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{os.fspath(path)!r} is no ordinary file")
    return os.fdopen(descriptor, "rb")


def file_digest(path: Path, algorithm: Algorithm = "sha256", *, anew: bool = False) -> str:
    """Return a digest of a file's content as hex digits; it is read once as long as it does not change.

    Parameters
    ----------
    path : Path
        The file.
    algorithm : {"sha256", "md5"}
        MD5 is what some publishers give: a check against damage only.
    anew : bool
        Whether it is read again whatever is remembered of it.
    """
    return remembered(algorithm, path, [path], lambda: _digest(path, algorithm), anew=anew)


def _digest(path: Path, algorithm: Algorithm) -> str:
    with open_data(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def files_digest(root: Path, files: Iterable[Path]) -> str:
    """Return one digest of the names, relative to `root`, and the contents of some files."""
    listed = sorted(files)

    def read() -> str:
        whole = hashlib.sha256()
        for path in listed:
            content = _digest(path, "sha256") if len(listed) > 1 else file_digest(path)
            whole.update(name_within(path, root) + f"\0{content}\n".encode())
        return whole.hexdigest()

    return remembered("files", root, listed, read)


def listing_digest(root: Path, files: Iterable[Path]) -> str:
    """Return one digest of the names, sizes, times of change and inodes of some files.

    For folders of very many files, which would take long to read.
    """
    return stamp_of(root, files)
