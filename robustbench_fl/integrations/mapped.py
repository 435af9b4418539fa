"""A file of updates that somebody wrote, opened for a rule."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from robustbench_fl.api import UsageError
from robustbench_fl.core.files import open_regular
from robustbench_fl.engine.mapped import MappedRows, mapped


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
        rows = stack.enter_context(mapped(file, offset, shape))
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
