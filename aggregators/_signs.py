"""Sums of signs over clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_VALUES = 2**17
"""Values whose signs are held at a time; they stay in the cache."""
_DEVICE_VALUES = 2**24
"""The same on other devices, where fewer and larger launches win."""


def sign_sums(updates: Tensor) -> Tensor:
    """Return in each coordinate the number of positive values less that of negative ones.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.

    Returns
    -------
    Tensor [d]
        Whole numbers from −n to n, in the type of `updates`; exact up to n = 2²⁴.
    """
    updates = updates.detach()
    n, d = updates.shape
    width = max(1, (_BLOCK_VALUES if updates.device.type == "cpu" else _DEVICE_VALUES) // n)
    ones, sums = updates.new_ones(n), updates.new_empty(d)
    buffer = updates.new_empty(n * min(width, d))
    for start in range(0, d, width):
        block = updates[:, start : start + width]
        signs = buffer[: block.numel()].view(block.shape)
        sums[start : start + width] = ones @ torch.sign(block, out=signs)
    return sums
