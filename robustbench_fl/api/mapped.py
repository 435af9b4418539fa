"""Updates whose numbers lie in a file: rules that work by blocks of columns read each when it is due."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class _File:
    """Where the rows of a tensor lie, too.

    Parameters
    ----------
    descriptor : int
        Of the file, open for reading.
    offset : int
        Where the first row begins, in bytes.
    rows : Tensor [n, d]
        The same numbers, mapped.
    """

    descriptor: int
    offset: int
    rows: Tensor


_open: dict[int, _File] = {}
"""Files that are being read, by where the memory of their rows begins."""


def columns_of(updates: Tensor, low: int, high: int) -> Tensor:
    """Return a block of columns of `updates`, for those who will not need it again soon.

    Parameters
    ----------
    updates : Tensor [n, d]
        What a rule was given. Never changed.
    low, high : int
        The first column and the one after the last; those beyond d are left out.

    Returns
    -------
    Tensor [n, columns]
        A view. If the numbers lie in a file, a copy, so that no more than blocks are ever in memory.

    Raises
    ------
    OSError
        If the file has become shorter meanwhile.
    """
    file = _file_of(updates)
    if file is None:
        return updates[:, low:high]
    n, d = updates.shape
    size, columns = updates.element_size(), min(high, d) - low
    # Pages of its own, which go back at once: blocks that come and go would leave holes in the heap.
    room = mmap.mmap(-1, n * columns * size)
    view = memoryview(room)
    for row in range(n):
        _read_into(view[row * columns * size :][: columns * size], file, size * (row * d + low))
    return torch.frombuffer(room, dtype=updates.dtype).view(n, columns)


def copied_rows(updates: Tensor, places: Sequence[int]) -> Tensor:
    """Return a copy [k, d] in memory of the rows of `updates` [n, d] at `places` [k].

    Raises
    ------
    OSError
        If the numbers lie in a file that has become shorter meanwhile.
    """
    file = _file_of(updates)
    if file is None:
        return updates[torch.tensor(places, dtype=torch.int64, device=updates.device)]
    d, size = updates.shape[1], updates.element_size()
    found = updates.new_empty(len(places), d)
    for row, place in zip(found, places, strict=True):
        _read_into(memoryview(row.numpy()).cast("B"), file, size * place * d)
    return found


def in_file(updates: Tensor) -> bool:
    """Say whether the numbers of `updates` lie in a file that is being read."""
    return bool(_open) and updates.data_ptr() in _open


@contextmanager
def reading(rows: Tensor, descriptor: int, offset: int) -> Iterator[None]:
    """Have blocks of `rows` [n, d], mapped from an open file from `offset` on, read from that file."""
    _open[rows.data_ptr()] = _File(descriptor, offset, rows)
    try:
        yield
    finally:
        del _open[rows.data_ptr()]


def _file_of(updates: Tensor) -> _File | None:
    file = _open.get(updates.data_ptr()) if _open else None
    if file is None or file.rows.shape != updates.shape or file.rows.stride() != updates.stride():
        return None
    return file


def _read_into(room: memoryview, file: _File, start: int) -> None:
    done = 0
    while done < len(room):
        count = os.preadv(file.descriptor, [room[done:]], file.offset + start + done)
        if not count:
            raise OSError("The file of updates has become shorter while it was read.")
        done += count
