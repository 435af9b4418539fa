"""What rules that keep some clients and drop others have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from robustbench_fl.aggregators._rows import middle, shrinking, weighted_sum
from robustbench_fl.api import Aggregation

if TYPE_CHECKING:
    from torch import Tensor

_DUST = 1e-6
"""A spread below this share of the values is rounding of float32 rows."""


def clipped_weights(norms: Tensor, kept: Tensor, limit: float | Tensor) -> Tensor:
    """Return each client's weight in the mean of the kept, clipped updates.

    Parameters
    ----------
    norms : float64 Tensor [n]
        Lengths of all updates.
    kept : bool Tensor [n]
        Who is averaged.
    limit : float or Tensor
        Longest length; longer updates are scaled down to it.

    Returns
    -------
    float64 Tensor [n]
        Zero for those not kept; all zeros, which keeps the model, if nobody is.
    """
    return torch.where(kept, shrinking(norms, limit), 0.0) / max(1, int(kept.sum()))


def average_of(
    updates: Tensor, kept: Tensor, weights: Tensor | None = None, scores: Tensor | None = None
) -> Aggregation:
    """Return the answer of a rule that averages the kept updates and accuses all others.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    kept : bool Tensor [n]
        Who is averaged; if nobody is, the aggregate is zero, which keeps the model.
    weights : Tensor [n], optional
        Weight of each; by default that of the plain mean.
    scores : Tensor [n], optional
        By which it was decided.
    """
    if weights is None:
        weights = kept.to(updates.dtype) / max(1, int(kept.sum()))
    weights = weights.to(updates.dtype)
    step = weighted_sum(weights, updates)
    return Aggregation(step, weights=weights, selected=kept, rejected=~kept, scores=scores)


def median_deviations(values: Tensor) -> Tensor:
    """Return how many standard deviations each value is from the median.

    Parameters
    ----------
    values : Tensor [n]
        One number a client.

    Returns
    -------
    float64 Tensor [n]
        ``|x − median| / std`` with the standard deviation of the n values themselves (no Bessel
        correction); zeros where all agree but for rounding.
    """
    values = values.double()
    deviation = values.std(correction=0)
    if deviation <= _DUST * values.abs().max():
        return torch.zeros_like(values)
    return (values - middle(values)).abs() / deviation
