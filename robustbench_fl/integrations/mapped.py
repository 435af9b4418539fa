"""Updates that lie in a file: rules read them block by block, and never are all of them in memory."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import UsageError
from robustbench_fl.api.mapped import reading
from robustbench_fl.core.files import open_regular


class MappedRows:
    """The rows of a ``.npy`` file, as a tensor that is read from the file where it is touched.

    Rules that work by blocks of columns read each block into memory when it is due
    (:func:`~robustbench_fl.api.mapped.columns_of`), a piece of every row, as often as they pass over their
    updates. For all others the file is mapped: the system reads what they touch, and takes it back when it
    needs the room.

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
    rows = torch.from_numpy(values)
    with reading(rows, file.fileno(), offset):
        yield rows
