"""2×2 max pooling; for large maps on a CPU faster than PyTorch's kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

_LARGE = 2**14
"""Values from which on the vector form wins on a CPU; below, the number of calls decides."""


def max_pool_2x2(maps: Tensor) -> Tensor:
    """Return the maximum of each 2×2 block, as ``max_pool2d(maps, 2)`` does.

    PyTorch's CPU kernel scans every block with branches; elementwise maxima of rows and then of
    columns use the vector units. Of several equal values the one that PyTorch picks gets the gradient.

    Parameters
    ----------
    maps : Tensor [b, channels, height, width]
        An odd last row or column is left out.

    Returns
    -------
    Tensor [b, channels, height // 2, width // 2]
        Differentiable any number of times, and under ``torch.func``.
    """
    if maps.device.type != "cpu" or maps.numel() < _LARGE:
        return functional.max_pool2d(maps, 2)
    height, width = maps.shape[-2] // 2 * 2, maps.shape[-1] // 2 * 2
    maps = maps[..., :height, :width]
    if not torch.is_grad_enabled():  # no gradient will ask where the maximum was
        rows = torch.maximum(maps[..., 0::2, :], maps[..., 1::2, :])
        return torch.maximum(rows[..., 0::2], rows[..., 1::2])
    pooled: Tensor = _MaxPool.apply(maps)[0]
    return pooled


class _MaxPool(torch.autograd.Function):
    """The maximum, and for the backward pass where it was found."""

    @staticmethod
    def forward(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        upper, lower = maps[..., 0::2, :], maps[..., 1::2, :]
        rows = torch.maximum(upper, lower)
        left, right = rows[..., 0::2], rows[..., 1::2]
        in_lower = lower > upper
        # PyTorch scans row by row, so of equal values the upper one wins over the left one.
        tied = (left == right) & (in_lower[..., 0::2] > in_lower[..., 1::2])
        return torch.maximum(left, right), in_lower, (right > left) | tied

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*output[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: None) -> Tensor:
        in_lower, in_right = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return _spread_in_place(gradient, in_lower, in_right)
        right = gradient * in_right
        rows = torch.stack((gradient - right, right), dim=-1).flatten(-2)
        lower = rows * in_lower
        return torch.stack((rows - lower, lower), dim=-2).flatten(-3, -2)

    @staticmethod
    def vmap(_: Any, in_dims: tuple[int], maps: Tensor) -> tuple[tuple[Tensor, ...], tuple[int, int, int]]:
        """Take the batch as one more leading dimension: blocks do not know of each other."""
        return _MaxPool.apply(maps.movedim(in_dims[0], 0)), (0, 0, 0)


def _spread_in_place(gradient: Tensor, in_lower: Tensor, in_right: Tensor) -> Tensor:
    """Return what the differentiable form does, without its copies; nobody will differentiate this one."""
    *lead, height, width = gradient.shape
    rows = gradient.new_empty(*lead, height, width, 2)
    torch.mul(gradient, in_right, out=rows[..., 1])
    torch.sub(gradient, rows[..., 1], out=rows[..., 0])
    rows = rows.flatten(-2)
    maps = gradient.new_empty(*lead, height, 2, 2 * width)
    torch.mul(rows, in_lower, out=maps[..., 1, :])
    torch.sub(rows, maps[..., 1, :], out=maps[..., 0, :])
    return maps.flatten(-3, -2)
