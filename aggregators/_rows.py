"""Lengths of rows and weighted sums of rows, without a copy of the updates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

from robustbench_fl.api import columns_of, in_file

_CHUNK = 2**15
"""Columns summed in one go in float32; the chunks are added in float64."""
_BLOCK_VALUES = 2**20
"""Values copied at a time where differences are formed."""
_SQUARE_LIMIT = 1e18
"""Lengths above it are measured again in float64: float32 squares overflow at 1.8e19."""
_CANCELLED = 0.1
"""Squared distances below this share of what they are the difference of are formed anew."""


def row_norms(updates: Tensor) -> Tensor:
    """Return the Euclidean norm of every row.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.

    Returns
    -------
    float64 Tensor [n]
        Right to 1e-6 for float32 rows, also for rows of 1e30, which are far and not infinite.
    """
    updates = updates.detach()
    if updates.shape[1] <= _CHUNK:  # nothing to add up: calls on few numbers cost more than the numbers
        norms = torch.linalg.vector_norm(updates, dim=1).double()
    else:
        squares = updates.new_zeros(len(updates), dtype=torch.float64)
        for start in range(0, updates.shape[1], _CHUNK):
            chunk = columns_of(updates, start, start + _CHUNK)
            squares += torch.linalg.vector_norm(chunk, dim=1).double().square()
        norms = squares.sqrt()
    return _huge_again(norms, updates, None, None)


def row_distances(updates: Tensor, point: Tensor, norms: Tensor | None = None) -> Tensor:
    """Return the Euclidean distance of every row from `point`.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    point : Tensor [d]
        Where from.
    norms : float64 Tensor [n], optional
        The rows' norms, if they are known already.

    Returns
    -------
    float64 Tensor [n]
        Right to 1e-5 for float32 rows, also close to `point` and for rows of 1e30.

    Notes
    -----
    One matrix–vector product gives ``‖u‖² − 2⟨u, p⟩ + ‖p‖²``. Where that is a small difference of
    large numbers, as for rows that share a large common part with `point`, the differences
    themselves are formed, for those rows and a block of columns at a time.
    """
    updates = updates.detach()
    norms = row_norms(updates) if norms is None else norms
    terms = norms.square() + row_norms(point[None]).square()
    squares = torch.sub(terms, _products(updates, point), alpha=2)
    clear = (squares > _CANCELLED * terms) & (squares < torch.inf)
    distances = squares.sqrt()
    if not bool(clear.all()):  # squares below zero are among these
        index = (~clear).nonzero()[:, 0]
        formed = _lengths_of_differences(updates, index, point, updates.dtype)
        distances[index] = _huge_again(formed, updates, index, point)
    return distances


def weighted_sum(weights: Tensor, updates: Tensor) -> Tensor:
    """Return ``Σ weights[i] · updates[i]``, a ``Tensor [d]`` in the type of `updates`."""
    weights = weights.to(updates)
    if not in_file(updates):
        return weights @ updates
    blocks = range(0, updates.shape[1], _CHUNK)
    return torch.cat([weights @ columns_of(updates, start, start + _CHUNK) for start in blocks])


def shrinking(lengths: Tensor, bound: float | Tensor) -> Tensor:
    """Return the factors ``min(1, bound / lengths)``; a row of length zero keeps its one."""
    return (bound / lengths).masked_fill_(lengths <= bound, 1.0)


def middle(values: Tensor) -> Tensor:
    """Return the median of a ``Tensor [n]``, for even n the mean of the two middle values."""
    ordered = values.sort().values
    return 0.5 * ordered[(len(values) - 1) // 2] + 0.5 * ordered[len(values) // 2]


def _products(updates: Tensor, point: Tensor) -> Tensor:
    if updates.shape[1] <= _CHUNK:
        return (updates @ point).double()
    products = updates.new_zeros(len(updates), dtype=torch.float64)
    for start in range(0, updates.shape[1], _CHUNK):
        chunk = columns_of(updates, start, start + _CHUNK)
        products += (chunk @ point[start : start + _CHUNK]).double()
    return products


def _huge_again(lengths: Tensor, updates: Tensor, index: Tensor | None, point: Tensor | None) -> Tensor:
    """Measure those of `lengths` again that are too long; they are of the rows `index`, by default all."""
    if not lengths.max().item() < _SQUARE_LIMIT:  # so that a NaN is, too
        huge = ~(lengths < _SQUARE_LIMIT)
        again = huge.nonzero()[:, 0] if index is None else index.to(huge.device)[huge]
        lengths[huge] = _lengths_of_differences(updates, again, point, torch.float64)
    return lengths


def _lengths_of_differences(
    updates: Tensor, index: Tensor, point: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """Return ``‖updates[i] − point‖`` for each i of `index`, in `dtype`."""
    squares = updates.new_zeros(len(index), dtype=torch.float64)
    width = max(1, _BLOCK_VALUES // max(1, len(index)))
    for start in range(0, updates.shape[1], width):
        block = columns_of(updates, start, start + width)[index].to(dtype)
        if point is not None:
            block -= point[start : start + width]
        squares += torch.linalg.vector_norm(block, dim=1).double().square()
    return squares.sqrt()
