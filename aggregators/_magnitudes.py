"""Order statistics of the magnitudes within each update, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_CHUNK_VALUES = 2**17
"""Values of whole rows looked at together; selecting among them takes several copies."""


def row_chunks(updates: Tensor) -> Iterator[slice]:
    """Yield slices of as many rows of `updates` [n, d] as are looked at together, one at least."""
    height = max(1, _CHUNK_VALUES // max(1, updates.shape[1]))
    for start in range(0, len(updates), height):
        yield slice(start, start + height)


def magnitude_thresholds(updates: Tensor, rank: int) -> Tensor:
    """Return the magnitude of the given rank in every row.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    rank : int
        From 1, the smallest, to d.

    Returns
    -------
    Tensor [n, 1]
        In the type of `updates`.
    """
    found = updates.new_empty((len(updates), 1))
    for rows in row_chunks(updates):
        magnitudes = updates[rows].abs()
        if magnitudes.device.type == "cpu" and magnitudes.dtype in (torch.float32, torch.float64):
            values = magnitudes.numpy()  # whose partition is several times as fast as torch's
            values.partition(rank - 1, axis=1)
            found[rows] = torch.from_numpy(values[:, rank - 1 : rank])
        else:
            found[rows] = magnitudes.kthvalue(rank, dim=1, keepdim=True).values
    return found
