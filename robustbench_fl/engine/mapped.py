"""Updates that lie in a file: rules read them block by block, and never are all of them in memory."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import UsageError
from robustbench_fl.api.mapped import copied_rows, reading

_TRAINED_BYTES = 2**26
"""Rows that are trained before they are written take so much memory, or are a single one."""


class MappedRows:
    """The rows of a file, as a tensor that is read from the file where it is touched.

    Rules that work by blocks of columns read each block into memory when it is due
    (:func:`~robustbench_fl.api.mapped.columns_of`), a piece of every row, as often as they pass over their
    updates. For all others the file is mapped: the system reads what they touch, and takes it back when it
    needs the room.

    Parameters
    ----------
    rows : float32 Tensor [n, d]
        The updates. Not to be written to.
    folder : Path
        Where further files may be made.
    stack : ExitStack
        Closes them.
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
        if not len(index):
            return self.rows.new_empty(shape)  # nothing that could be mapped
        with _told(self._folder, f"{len(index)} of {len(self.rows)} updates are copied"):
            file = self._stack.enter_context(tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115
            for row in index.tolist():
                file.write(copied_rows(self.rows, [row]).numpy().tobytes())
            file.flush()
        return self._stack.enter_context(mapped(file, 0, shape))


class ScratchRows(MappedRows):
    """The updates of one round of a simulation, in a file without a name that is gone with the process.

    Parameters
    ----------
    rows, folder, stack
        As of :class:`MappedRows`.
    file : binary file
        Holds the rows from its start, open for writing.
    """

    def __init__(self, rows: Tensor, folder: Path, stack: ExitStack, file: IO[bytes]) -> None:
        super().__init__(rows, folder, stack)
        self._file = file

    def groups(self, places: Sequence[int]) -> Iterator[Sequence[int]]:
        """Yield `places` by groups whose rows may be in memory at once."""
        size = max(1, _TRAINED_BYTES // (4 * self.rows.shape[1]))
        for low in range(0, len(places), size):
            yield places[low : low + size]

    def write(self, places: Sequence[int], rows: Tensor) -> None:
        """Make the rows at `places` [k] those of `rows` [k, d].

        Raises
        ------
        UsageError
            If there is no room for them.
        """
        with _told(self._folder, f"The {len(self.rows)} updates of a round are written"):
            for place, row in zip(places, rows, strict=True):
                _write(self._file, memoryview(row.contiguous().numpy()).cast("B"), 4 * place * len(row))


@contextmanager
def scratch_rows(folder: Path, n: int, d: int) -> Iterator[ScratchRows]:
    """Make room for `n` rows of `d` numbers in a file of `folder`, zeros at first.

    Raises
    ------
    UsageError
        If no file can be made there.
    """
    with ExitStack() as stack:
        with _told(folder, f"The {n} updates of a round are written"):
            file = stack.enter_context(tempfile.TemporaryFile(dir=folder, buffering=0))
            file.truncate(4 * n * d)
        rows = stack.enter_context(mapped(file, 0, (n, d), mmap.ACCESS_WRITE))
        yield ScratchRows(rows, folder, stack, file)


@contextmanager
def mapped(
    file: IO[bytes], offset: int, shape: tuple[int, int], access: int = mmap.ACCESS_COPY
) -> Iterator[Tensor]:
    """Give the float32 matrix that lies in `file` from `offset` on, mapped, and read by blocks.

    By default copy-on-write: a rule that breaks its contract and writes changes its own memory only.
    """
    pages = mmap.mmap(file.fileno(), 0, access=access)
    values = np.frombuffer(pages, np.float32, shape[0] * shape[1], offset).reshape(shape)
    rows = torch.from_numpy(values)
    with reading(rows, file.fileno(), offset):
        yield rows


def _write(file: IO[bytes], room: memoryview, start: int) -> None:
    done = 0
    while done < len(room):
        done += os.pwrite(file.fileno(), room[done:], start + done)


@contextmanager
def _told(folder: Path, what: str) -> Iterator[None]:
    """Say what was to be done in `folder` where the system refuses it."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{what} to a file in {str(folder)!r}, which fails: {error.strerror or error}."
        ) from None
