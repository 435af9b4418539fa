"""Squared distances between all pairs of updates, from one Gram matrix."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from robustbench_fl.aggregators._rows import row_norms
from robustbench_fl.api import columns_of

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_VALUES = 2**17
"""Values in one block of columns on a CPU; the block stays in the cache."""
_MANY_ROWS, _MANY_COLUMNS = 512, 1024
"""From so many rows on a block has so many columns: adding up [n, n] products is what costs then."""
_DEVICE_VALUES = 2**24
"""The same on other devices, where fewer and larger products win."""
_CANCELLED = 0.1
"""Squared distances below this share of what they are the difference of are formed in float64."""


def squared_distances(updates: Tensor) -> Tensor:
    """Return the squared Euclidean distance between every two rows.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.

    Returns
    -------
    float64 Tensor [n, n]
        Symmetric, never negative, with a diagonal of exact zeros. Rules in which a client is not
        its own neighbour put infinity there. Right to about 1e-6 for float32 rows.

    Notes
    -----
    ``‖x‖² + ‖y‖² − 2⟨x, y⟩`` on centred rows (see :func:`centred_gram`), with products in the type
    of `updates` and sums over blocks of columns in float64. Rows of which a pair is much closer
    together than to the centre, or too large for squares in float32, are taken again in float64;
    in practice these are malicious clients that all send (nearly) the same.
    """
    updates = updates.detach()
    centre = _centre(updates)
    distances, unsure = _expanded(_gram(updates, centre, updates.dtype))
    if updates.dtype != torch.float64 and bool(unsure.any()):
        index = unsure.any(0).nonzero()[:, 0]
        distances[index[:, None], index] = _expanded(_gram(updates, centre, torch.float64, index))[0]
    return distances.clamp_(min=0).fill_diagonal_(0)


def stacked_distances(stack: Tensor) -> Tensor:
    """Return the squared distances between the rows of each of many small matrices.

    Parameters
    ----------
    stack : Tensor [c, n, w]
        c matrices of n rows.

    Returns
    -------
    float64 Tensor [c, n, n]
        As :func:`squared_distances` of each, all in float64.
    """
    rows = stack.double()
    middles = rows.norm(dim=2).argsort(dim=1, stable=True)[:, (stack.shape[1] - 1) // 2]
    rows -= rows[torch.arange(len(rows), device=rows.device), middles][:, None]
    distances = torch.bmm(rows, rows.mT).mul_(-2)
    squares = rows.square().sum(2)
    distances += squares[:, :, None]
    distances += squares[:, None]
    distances.clamp_(min=0).diagonal(dim1=1, dim2=2).zero_()
    return distances


def centred_gram(updates: Tensor) -> Tensor:
    """Return the inner products of the rows after one of them is subtracted from all.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.

    Returns
    -------
    float64 Tensor [n, n]
        ``⟨u_i − c, u_j − c⟩``. Any difference of rows has the same products as before.

    Notes
    -----
    Clients that agree in a large common part would drown in it, so a centre is subtracted first.
    The mean row will not do: a single row of 1e30 moves it so far that nothing is left of the
    others. The row whose norm is the (lower) median is taken instead; it is of moderate size as
    long as at most half of the rows are not. Differences and products are formed in float64, in
    which squares of 1e30 do not overflow.
    """
    updates = updates.detach()
    return _gram(updates, _centre(updates), torch.float64)


def _centre(updates: Tensor) -> Tensor:
    return updates[row_norms(updates).argsort(stable=True)[(len(updates) - 1) // 2]]


def _expanded(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Return squared distances, and which of them have lost digits or overflowed."""
    squares = gram.diagonal()
    terms = squares[:, None] + squares
    distances = terms - 2 * gram
    unsure = ~((distances >= _CANCELLED * terms) & distances.isfinite())
    return distances, unsure.fill_diagonal_(False)


def _gram(updates: Tensor, centre: Tensor, dtype: torch.dtype, index: Tensor | None = None) -> Tensor:
    """Return the products of the rows (those of `index`) minus `centre`, formed in `dtype`."""
    n = len(updates) if index is None else len(index)
    width = _width(n, on_cpu=updates.device.type == "cpu")
    threads = min(torch.get_num_threads(), updates.shape[1] // width)
    if threads > 1 and updates.device.type == "cpu" and updates.dtype in (torch.float32, torch.float64):
        return _gram_by_threads(updates, centre, dtype, index, width, threads)
    buffer = updates.new_empty(n * min(width, updates.shape[1]), dtype=dtype)
    gram = updates.new_zeros((n, n), dtype=torch.float64)
    for start in range(0, updates.shape[1], width):
        block = columns_of(updates, start, start + width)
        block = block if index is None else block[index]
        difference = buffer[: block.numel()].view(block.shape).copy_(block)
        difference -= centre[start : start + width]
        gram += _products(difference)
    return gram


def _gram_by_threads(
    updates: Tensor, centre: Tensor, dtype: torch.dtype, index: Tensor | None, width: int, threads: int
) -> Tensor:
    """Return the same to the bit: so many blocks at once, added up in their order.

    All in NumPy: threads that PyTorch leaves waiting would take the cores from those of this pool.
    """
    kind = np.float64 if dtype == torch.float64 else np.float32
    middle = centre.numpy()
    n = len(updates) if index is None else len(index)

    def product(start: int, buffer: np.ndarray) -> np.ndarray:
        block = columns_of(updates, start, start + width).numpy()
        if index is not None:
            block = block[index.numpy()]
        difference = buffer[: block.size].reshape(block.shape)
        np.subtract(block, middle[start : start + width], out=difference, dtype=kind)
        return _products(torch.from_numpy(difference)).numpy()

    gram = np.zeros((n, n))
    buffers = [np.empty(n * width, kind) for _ in range(threads)]
    starts = range(0, updates.shape[1], width)
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(starts), threads):
            for block in pool.map(product, starts[first : first + threads], buffers):
                gram += block
    return torch.from_numpy(gram)


def _width(n: int, *, on_cpu: bool) -> int:
    if on_cpu and n >= _MANY_ROWS:
        return _MANY_COLUMNS
    return max(64, (_BLOCK_VALUES if on_cpu else _DEVICE_VALUES) // max(1, n))


def _products(rows: Tensor) -> Tensor:
    """Return ``rows @ rows.T``; NumPy sees that the factors are one and computes half of it."""
    if rows.device.type != "cpu" or rows.dtype not in (torch.float32, torch.float64):
        return rows @ rows.T
    values = rows.numpy()
    # Squares of 1e30 overflow in float32 and are then taken again in float64.
    with np.errstate(over="ignore", invalid="ignore"):
        return torch.from_numpy(values @ values.T)
