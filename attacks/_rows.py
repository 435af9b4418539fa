"""Rows of given length."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def clipped_rows(rows: Tensor, bounds: Tensor) -> Tensor:
    """Return the rows [m, d], each scaled down to its bound [m] if it is longer.

    Examples
    --------
    >>> clipped_rows(torch.tensor([[3.0, 4.0], [0.6, 0.8]]), torch.tensor([2.5, 2.0])).tolist()
    [[1.5, 2.0], [0.6000000238418579, 0.800000011920929]]
    """
    norms = rows.norm(dim=1).clamp(min=torch.finfo(rows.dtype).tiny)
    clipped: Tensor = rows * (bounds / norms).clamp(max=1)[:, None]
    return clipped
