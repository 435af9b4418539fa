"""Products with the Hessian that a few steps reveal: compact L-BFGS (Byrd et al., 1994)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = 2**14
"""Columns taken to float64 at a time."""


def hessian_product(steps: Sequence[Tensor], changes: Sequence[Tensor], vector: Tensor) -> Tensor:
    """Return the product of the quasi-Newton Hessian with `vector`.

    Parameters
    ----------
    steps : sequence of Tensor [d]
        Differences of successive parameters s_1 … s_N, the newest last; at least one, none zero.
    changes : sequence of Tensor [d]
        Differences y_1 … y_N of the gradients there (or of updates: the sign carries over).
    vector : Tensor [d]
        What is multiplied.

    Returns
    -------
    float64 Tensor [d]
        ``B v`` with the BFGS matrix that starts at ``σ I``, ``σ = ⟨y_N, s_N⟩ / ⟨s_N, s_N⟩``, and
        maps s_N to y_N.

    Notes
    -----
    ``B v = σ v − [Y, σS] p``, where ``[[−D, Lᵀ], [L, σ SᵀS]] p = [Yᵀv, σ Sᵀv]`` and D and L are the
    diagonal and the strictly lower part of SᵀY. The matrix may be singular (steps that repeat), so
    the system is solved in the sense of least squares, scaled to a unit diagonal.
    """
    n = len(steps)
    rows = [*steps, *changes, vector]
    gram = vector.new_zeros((2 * n + 1, 2 * n + 1), dtype=torch.float64)
    for start in range(0, vector.numel(), _BLOCK):
        block = torch.stack([row[start : start + _BLOCK].double() for row in rows])
        gram += block @ block.T
    ss, sy = gram[:n, :n], gram[:n, n : 2 * n]
    sigma = sy[-1, -1] / ss[-1, -1]
    lower = sy.tril(-1)
    matrix = torch.cat(
        [
            torch.cat([-sy.diagonal().diag(), lower.T], 1),
            torch.cat([lower, sigma * ss], 1),
        ]
    )
    right = torch.cat([gram[n : 2 * n, -1], sigma * gram[:n, -1]])
    factors = _solved(matrix, right)
    product = sigma * vector.double()
    for factor, change in zip(factors[:n], changes, strict=True):
        product -= factor * change.double()
    for factor, step in zip(factors[n:], steps, strict=True):
        product -= sigma * factor * step.double()
    return product


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    lengths = matrix.abs().amax(1).sqrt()
    scale = torch.where(lengths > 0, 1 / lengths, 0.0)
    balanced = (scale[:, None] * matrix * scale).cpu()
    # gelsd bears singular systems; it exists on the CPU only, and the system is tiny.
    found: Tensor = torch.linalg.lstsq(balanced, (scale * right).cpu()[:, None], driver="gelsd").solution[
        :, 0
    ]
    return scale * found.to(right.device)
