"""How far apart the directions of vectors are, to the last digits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_VALUES = 2**17
"""Float64 values in one block of columns on a CPU; the block stays in the cache."""
_DEVICE_VALUES = 2**24
"""The same on other devices."""
_DUST = 1e-14
"""Distances below it are rounding of equal directions."""


def direction_distances(updates: Tensor | Sequence[Tensor], offset: Tensor | None = None) -> Tensor:
    """Return the cosine distance ``1 − cos`` between every two rows.

    Parameters
    ----------
    updates : Tensor [n, d] or sequence of n Tensor [d]
        One row a client; rows that lie apart are never brought together whole.
    offset : Tensor [d], optional
        Added to every row first: the global parameters, where models are compared.

    Returns
    -------
    float64 Tensor [n, n]
        Symmetric, from 0 to 2, with a diagonal of exact zeros. A vector of length zero has no
        direction; it is at 1 from all others.

    Notes
    -----
    Models of one round differ by little, and ``1 − ⟨ŵ_i, ŵ_j⟩`` loses in float32 all of it. So the
    distance is ``½ ‖ŵ_i − ŵ_j‖²``, from the Gram matrix of the unit vectors in float64 after one
    of them is subtracted from all.
    """
    norms = exact_norms(updates, offset)
    centre = int(norms.argsort(stable=True)[(len(norms) - 1) // 2])
    lengths = torch.where(norms > 0, norms, 1.0)[:, None]
    gram = norms.new_zeros((len(norms), len(norms)))
    for block in _blocks(updates, offset):
        unit = block / lengths
        unit -= unit[centre].clone()
        gram += unit @ unit.T
    squares = gram.diagonal()
    distances = (0.5 * (squares[:, None] + squares) - gram).clamp_(0, 2)
    distances[distances < _DUST] = 0
    none = norms == 0
    distances[none] = 1
    distances[:, none] = 1
    return distances.fill_diagonal_(0)


def inner_products(updates: Tensor, point: Tensor) -> Tensor:
    """Return ``⟨u_i, point⟩`` of every row, a float64 ``Tensor [n]``, for rows of 1e30 too."""
    products = updates.new_zeros(len(updates), dtype=torch.float64)
    start = 0
    for block in _blocks(updates, None):
        products += block @ point[start : start + block.shape[1]].double()
        start += block.shape[1]
    return products


def exact_norms(updates: Tensor | Sequence[Tensor], offset: Tensor | None = None) -> Tensor:
    """Return the Euclidean norm of every row, a float64 ``Tensor [n]``, in float64 throughout.

    Parameters
    ----------
    updates, offset
        As for :func:`direction_distances`.
    """
    squares = torch.zeros(len(updates), dtype=torch.float64, device=updates[0].device)
    for block in _blocks(updates, offset):
        squares += block.square().sum(1)
    return squares.sqrt()


def _blocks(updates: Tensor | Sequence[Tensor], offset: Tensor | None) -> Iterator[Tensor]:
    values = _BLOCK_VALUES if updates[0].device.type == "cpu" else _DEVICE_VALUES
    width = max(64, values // max(1, len(updates)))
    for start in range(0, len(updates[0]), width):
        columns = slice(start, start + width)
        if isinstance(updates, torch.Tensor):
            block = updates.detach()[:, columns].double()
        else:
            block = torch.stack([row[columns] for row in updates]).double()
        yield block if offset is None else block + offset[start : start + width].double()
