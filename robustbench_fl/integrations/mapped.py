"""Updates that lie in a file: rules read them block by block, and never are all of them in memory."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import UsageError
from robustbench_fl.core.files import open_regular

_MOST_RESIDENT = 256 * 2**20
"""Bytes of files that this process keeps mapped; what is beyond may have to be mapped again."""
_SECONDS = 0.01
"""Between two looks at how much that is."""
_STATM = Path("/proc/self/statm")
"""Linux only; elsewhere the system alone decides what stays."""


class MappedRows:
    """The rows of a ``.npy`` file, as a tensor that is read from the file where it is touched.

    Nothing is copied: the system reads the pages that are asked for and takes them back when it needs the
    room. Beyond a quarter of a gigabyte they are given back at once, so that the size of this process stays
    small too. Rules work by blocks of columns, so a row of the file is read in pieces, as often as the
    rule passes over its updates.

    Parameters
    ----------
    rows : float32 Tensor [n, d]
        The updates. Writing to them would change neither the file nor, for certain, what is read later.
    """

    def __init__(self, rows: Tensor, folder: Path, stack: ExitStack) -> None:
        self.rows = rows
        self._folder, self._stack = folder, stack

    def chosen(self, index: Tensor) -> Tensor:
        """Return the rows `index` [k], from a file of their own beside this one that has no name.

        Raises
        ------
        UsageError
            If there is no room for it.
        """
        shape = (len(index), self.rows.shape[1])
        try:
            file = self._stack.enter_context(tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115
            for row in index.tolist():
                file.write(self.rows[row].numpy().tobytes())
            file.flush()
        except OSError as error:
            raise UsageError(
                f"{len(self.rows) - len(index)} rows hold NaN or Inf. The others are copied to a file in "
                f"{str(self._folder)!r} first, which fails: {error.strerror}."
            ) from None
        return self._stack.enter_context(_mapped(file, 0, shape))


@contextmanager
def mapped_rows(path: Path) -> Iterator[MappedRows]:
    """Open a matrix of updates in a file.

    Parameters
    ----------
    path : Path
        A ``.npy`` file with a float32 matrix [n, d] in C order, one row a client, such as
        ``numpy.lib.format.open_memmap(path, "w+", "float32", (n, d))`` makes one to be filled.

    Raises
    ------
    UsageError
        If the file cannot be read, or holds something else.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(os.fdopen(open_regular(os.path.realpath(path)), "rb"))
            offset, shape = _header(file, path)
        except OSError as error:
            raise UsageError(f"Cannot read {str(path)!r}: {error.strerror}.") from None
        rows = stack.enter_context(_mapped(file, offset, shape))
        yield MappedRows(rows, path.parent, stack)


def _header(file: IO[bytes], path: Path) -> tuple[int, tuple[int, int]]:
    """Return where the numbers of a ``.npy`` file begin, and their shape."""
    try:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, columns_first, kind = read(file)
    except ValueError as error:
        raise UsageError(f"{str(path)!r} is no .npy file ({error}). Write one with numpy.save.") from None
    if len(shape) != 2 or kind != np.dtype("<f4") or columns_first or 0 in shape:
        raise UsageError(
            f"{str(path)!r} must hold a float32 matrix [n, d] in C order, one row a client; it holds "
            f"{kind} {list(shape)}{' in Fortran order' if columns_first else ''}."
        )
    wanted = file.tell() + 4 * shape[0] * shape[1]
    if (found := os.fstat(file.fileno()).st_size) < wanted:
        raise UsageError(f"{str(path)!r} was cut short: {found} bytes of {wanted}. Write it anew.")
    return file.tell(), (shape[0], shape[1])


@contextmanager
def _mapped(file: IO[bytes], offset: int, shape: tuple[int, int]) -> Iterator[Tensor]:
    # Copy-on-write: a rule that breaks its contract and writes changes its own memory only.
    pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    values = np.frombuffer(pages, np.float32, shape[0] * shape[1], offset).reshape(shape)
    over = threading.Event()
    thread = threading.Thread(target=_keep_small, args=(pages, over), daemon=True)
    thread.start()
    try:
        yield torch.from_numpy(values)
    finally:  # the pages themselves go with the last tensor that looks at them
        over.set()
        thread.join()


def _keep_small(pages: mmap.mmap, over: threading.Event) -> None:
    """Give mapped pages back whenever there are many; they stay in the system's cache while it has room."""
    if not _STATM.exists() or not hasattr(mmap, "MADV_DONTNEED"):
        return
    before = _mapped_bytes()  # of libraries
    while not over.wait(_SECONDS):
        if _mapped_bytes() - before >= _MOST_RESIDENT:
            pages.madvise(mmap.MADV_DONTNEED)


def _mapped_bytes() -> int:
    return int(_STATM.read_text().split()[2]) * mmap.PAGESIZE
