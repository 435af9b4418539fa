"""Digests of files: what a data set's content is called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

DIGITS = 16
"""Hex digits of a digest that names content, as of a cell's key."""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content as hex digits, read once as long as it does not change."""
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(root: Path, files: Iterable[Path]) -> str:
    """Return one digest of the names, relative to `root`, and the contents of some files."""
    whole = hashlib.sha256()
    for path in sorted(files):
        whole.update(f"{path.relative_to(root).as_posix()}\0{file_digest(path)}\n".encode())
    return whole.hexdigest()


def listing_digest(root: Path, files: Iterable[Path]) -> str:
    """Return one digest of the names, sizes and times of change of some files.

    For folders of very many files, which would take long to read.
    """
    whole = hashlib.sha256()
    for path in sorted(files):
        stat = path.stat()
        whole.update(f"{path.relative_to(root).as_posix()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return whole.hexdigest()


def md5(path: Path) -> str:
    """Return a file's MD5 as hex digits: what publishers give, a check against damage only."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
