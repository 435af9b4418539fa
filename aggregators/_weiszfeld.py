"""Smoothed Weiszfeld iteration on weights of whole rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from robustbench_fl.aggregators._distances import centred_gram
from robustbench_fl.aggregators._rows import middle, row_distances, row_norms, weighted_sum

if TYPE_CHECKING:
    from torch import Tensor

_GRAM_ROWS_PER_STEP = 4
"""The Gram matrix costs about n/4 passes over the updates, a step without it two to six."""


def weiszfeld_weights(
    updates: Tensor, start: Tensor | None, *, shares: Tensor, nu: float, steps: int, tol: float
) -> Tensor:
    """Return the weights of the rows in their smoothed geometric median.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    start : Tensor [d] or None
        First point; ``None`` is the origin.
    shares : float64 Tensor [n]
        How much each row counts, summing to one.
    nu : float
        Distances below it count as `nu`.
    steps : int
        Steps at most, at least one.
    tol : float
        Stop once a move cannot have been longer than `tol` times the median distance of the rows
        from the point. (The objective would be a poor gauge: rows far off dominate it.)

    Returns
    -------
    float64 Tensor [n]
        Weights that sum to one; the geometric median is ``weights @ updates``.

    Notes
    -----
    From the first step on the point is a weighted mean of the rows. For few steps its distances
    are measured anew each time; for many the centred Gram matrix is formed once, after which a
    step works on n numbers only.
    """
    norms = row_norms(updates)
    distances = norms if start is None else row_distances(updates, start, norms)
    few = _GRAM_ROWS_PER_STEP * steps < len(updates)

    def distances_from() -> Callable[[Tensor], Tensor]:
        return _measured_on_rows(updates, norms) if few else _measured_on_gram(updates)

    return iterated_weights(distances, distances_from, shares=shares, nu=nu, steps=steps, tol=tol)


def iterated_weights(
    distances: Tensor,
    measure: Callable[[], Callable[[Tensor], Tensor]],
    *,
    shares: Tensor,
    nu: float,
    steps: int,
    tol: float,
) -> Tensor:
    """Return the weights of the rows, from distances alone.

    Parameters
    ----------
    distances : float64 Tensor [n]
        Of the rows from the first point.
    measure : callable
        Returns the function that takes weights [n] to the rows' distances [n] from the mean with
        these weights; called only if there is a second step.
    shares, nu, steps, tol
        As for :func:`weiszfeld_weights`.

    Returns
    -------
    float64 Tensor [n]
        Weights that sum to one.
    """
    weights = _pulled(shares, distances, nu)
    if steps == 1:
        return weights
    distances_from = measure()
    for _ in range(steps - 1):
        distances = distances_from(weights)
        previous, weights = weights, _pulled(shares, distances, nu)
        # The weights sum to one before and after, so the move is Σ change · (row − point).
        longest_move = (weights - previous).abs() @ distances
        if longest_move <= tol * middle(distances):
            break
    return weights


def _pulled(shares: Tensor, distances: Tensor, nu: float) -> Tensor:
    pull = shares / distances.clamp(min=nu)
    return pull / pull.sum()


def _measured_on_gram(updates: Tensor) -> Callable[[Tensor], Tensor]:
    # n by n numbers: a loop on a CPU is faster than launches on any device.
    gram = centred_gram(updates).cpu()

    def distances_from(weights: Tensor) -> Tensor:
        w = weights.cpu()
        products = gram @ w
        squares = gram.diagonal() - 2 * products + w @ products
        return squares.clamp(min=0).sqrt().to(weights.device)

    return distances_from


def _measured_on_rows(updates: Tensor, norms: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda weights: row_distances(updates, weighted_sum(weights, updates), norms)
