"""Memory for the updates of a round, used again from round to round."""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

_WORTH_IT = 2**20
"""Numbers; the system is not asked anew for the memory of smaller tensors."""


class Room:
    """Memory of updates that nothing refers to any more, all of one size; gone with this object.

    New memory is empty pages, and the system's work with them took a fifth of a large network's round.
    """

    def __init__(self) -> None:
        self._left: list[Tensor] = []

    def like(self, rows: Tensor) -> Tensor:
        """Return a tensor of the shape [k, n_params] of `rows`, whatever it holds.

        On a CPU the memory of one that was returned before is used again once nothing refers to that, nor
        to any view of it.
        """
        if rows.device.type != "cpu" or rows.numel() < _WORTH_IT:
            return torch.empty_like(rows, memory_format=torch.contiguous_format)
        size = (rows.dtype, rows.numel())
        self._left[:] = [left for left in self._left if (left.dtype, left.numel()) == size]
        memory = self._left.pop() if self._left else rows.new_empty(rows.numel())
        # The tensor that is returned, and every view of it, keeps this array alive; the array keeps nobody.
        array = memory.numpy()
        weakref.finalize(array, self._left.append, memory).atexit = False
        return torch.from_numpy(array).view(rows.shape)
