"""The packed file: all records of a finished sweep, one sealed line each."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from robustbench_fl.core.files import atomic, open_regular
from robustbench_fl.store.errors import StoreError

PACKED = "cells.jsonl.gz"
RESTORE = "Restore it, or run the sweep into another folder."


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a compressed file, without their ends.

    Raises
    ------
    StoreError
        If it is damaged, or no ordinary file.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as raw, gzip.GzipFile(fileobj=raw) as file:
            for line in file:
                yield line.rstrip(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, error) from None


def damaged(path: Path, why: object) -> StoreError:
    """Return the error for a compressed file that cannot be read."""
    return StoreError(f"{path.name} in {str(path.parent)!r} is damaged ({why}). {RESTORE}")


def write_lines(path: Path, lines: Iterable[bytes]) -> int:
    """Write a compressed file of `lines`, whole or not at all, and return their number.

    The same lines give the same bytes.
    """
    count = 0
    with atomic(path) as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        for line in lines:
            file.write(line + b"\n")
            count += 1
    return count
