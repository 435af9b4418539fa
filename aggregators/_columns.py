"""Sorting the columns of the updates, a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from robustbench_fl.api import SortedRows, columns_of

if TYPE_CHECKING:
    from torch import Tensor

_COLUMNS = 4096
"""Columns sorted at a time on a CPU; the block stays in the cache."""
_WORTH_A_THREAD = 2**19
"""Values that a thread sorts at least; for fewer it costs more than it does."""
_DEVICE_VALUES = 2**24
"""Values sorted at a time on other devices, where fewer and larger launches win."""


def sorted_blocks(updates: Tensor, reduce: Callable[[Tensor], Tensor], rows: Tensor | None = None) -> Tensor:
    """Sort every column and reduce it, without a copy of the whole matrix.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client; no NaN. Never changed.
    reduce : callable
        Receives ``Tensor [n, columns]`` with ascending columns and returns ``[columns]``. It may
        return a view, and must neither keep nor change what it was given.
    rows : int64 Tensor [m], optional
        The rows to sort, where not all are meant; a row may be named more than once, and the
        blocks have m rows then.

    Returns
    -------
    Tensor [d]
        The results of all blocks, in the type and on the device of `updates`.

    Notes
    -----
    On a CPU a block is copied transposed, so that each column is contiguous for NumPy's vectorised
    sort; with more than one torch thread the blocks are shared out among threads (NumPy releases
    the interpreter lock). The result does not depend on the number of threads.
    """
    updates = updates.detach()
    out = updates.new_empty(updates.shape[1])
    if updates.device.type == "cpu" and updates.dtype in (torch.float32, torch.float64):
        _reduce_on_cpu(updates, reduce, rows, out)
    else:
        height = len(updates) if rows is None else len(rows)
        for columns in _slices(out.numel(), max(1, _DEVICE_VALUES // max(1, height))):
            block = updates[:, columns] if rows is None else updates[:, columns][rows]
            out[columns] = reduce(block.sort(dim=0).values)
    return out


def median_of_sorted(block: SortedRows) -> Tensor:
    """Return the middle row of ascending columns, for an even number the mean of the two middle rows.

    Parameters
    ----------
    block : Tensor [n, columns]
        Each column ascending.

    Returns
    -------
    Tensor [columns]
        The medians; for odd n a view.
    """
    low, high = (len(block) - 1) // 2, len(block) // 2
    if low == high:
        return block[low]
    # Halved before they are added: the sum of two large values may not be representable.
    return 0.5 * block[low] + 0.5 * block[high]


def _reduce_on_cpu(
    updates: Tensor, reduce: Callable[[Tensor], Tensor], rows: Tensor | None, out: Tensor
) -> None:
    index = None if rows is None else rows.numpy()
    blocks = list(_slices(out.numel(), _COLUMNS))
    height = len(updates) if index is None else len(index)
    threads = min(torch.get_num_threads(), len(blocks), height * out.numel() // _WORTH_A_THREAD)
    if threads <= 1:
        _reduce_blocks(updates, index, blocks, reduce, out)
        return
    with ThreadPoolExecutor(threads) as pool:
        shares = (blocks[first::threads] for first in range(threads))
        jobs = [pool.submit(_reduce_blocks, updates, index, share, reduce, out) for share in shares]
        for job in jobs:
            job.result()


def _reduce_blocks(
    updates: Tensor,
    index: np.ndarray | None,
    blocks: list[slice],
    reduce: Callable[[Tensor], Tensor],
    out: Tensor,
) -> None:
    height = len(updates) if index is None else len(index)
    buffer = np.empty((min(_COLUMNS, updates.shape[1]), height), updates.numpy().dtype)
    for columns in blocks:
        block = buffer[: columns.stop - columns.start]
        rows = columns_of(updates, columns.start, columns.stop).numpy()
        if index is None:
            block[...] = rows.T
        else:  # row by row: gathered at once they would lie apart by powers of two, slow to transpose
            for position, row in enumerate(index):
                block[:, position] = rows[row]
        block.sort(axis=1)
        out[columns] = reduce(torch.from_numpy(block).T)


def _slices(length: int, width: int) -> Iterator[slice]:
    for start in range(0, length, width):
        yield slice(start, min(start + width, length))
