"""Whether numbers fall into two groups: the gap statistic (Tibshirani et al., 2001)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_INERTIA = 1e-12
"""Of numbers in [0, 1]; groups of equal numbers have none, and its logarithm is needed."""
_DUST = 1e-9
"""A range below this share of the numbers is rounding."""


def high_group(
    values: NDArray[np.float64], rng: np.random.Generator, references: int = 10
) -> NDArray[np.bool_]:
    """Return which numbers are in the higher of two groups, if there is more than one group.

    Parameters
    ----------
    values : float array [n]
        The numbers.
    rng : numpy.random.Generator
        Draws the reference sets.
    references : int
        Sets of n uniform numbers that the inertia is compared with.

    Returns
    -------
    bool array [n]
        All false for a single group, and for fewer than three numbers, of which any two would be
        two groups.

    Notes
    -----
    The numbers are scaled to [0, 1]. The number of groups is the smallest k with
    ``gap_k ≥ gap_{k+1} − s_{k+1}``, where the gap is the mean logarithm of the reference sets'
    within-group inertia minus that of the numbers. What counts is whether k = 1, so no other k
    is tried. On a line the best two groups are a cut of the sorted numbers, so 2-means is exact.
    """
    low, high = values.min(), values.max()
    one_group = np.zeros(len(values), dtype=bool)
    if len(values) < 3 or high - low <= _DUST * max(abs(low), abs(high)):
        return one_group
    scaled = (values - low) / (high - low)
    drawn = rng.uniform(size=(references, len(values)))
    gaps, spreads = zip(*(_gap(scaled, drawn, groups) for groups in (1, 2)), strict=True)
    if gaps[0] - gaps[1] + spreads[1] >= 0:
        return one_group
    return _above_the_cut(scaled)


def split_in_two(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which numbers are in the higher of the best two groups (2-means, exact on a line).

    Parameters
    ----------
    values : float array [n]
        The numbers, finite.

    Returns
    -------
    bool array [n]
        All false where all are equal but for rounding.
    """
    low, high = values.min(), values.max()
    if high - low <= _DUST * max(abs(low), abs(high)):
        return np.zeros(len(values), dtype=bool)
    return _above_the_cut((values - low) / (high - low))


def _above_the_cut(scaled: NDArray[np.float64]) -> NDArray[np.bool_]:
    ordered = np.sort(scaled)
    cut = int(_split_inertias(ordered[None])[0].argmin())
    above: NDArray[np.bool_] = scaled > ordered[cut]
    return above


def _gap(scaled: np.ndarray, drawn: np.ndarray, groups: int) -> tuple[float, float]:
    """Return the gap for one or two groups, and its simulation error."""
    logs = np.log(_inertias(drawn, groups))
    gap = logs.mean() - np.log(_inertias(scaled[None], groups)[0])
    return float(gap), float(logs.std() * np.sqrt(1 + 1 / len(drawn)))


def _inertias(rows: np.ndarray, groups: int) -> np.ndarray:
    """Return the least sum of squared distances from the groups' means, for each row."""
    if groups == 1:
        least = len(rows[0]) * rows.var(1)
    else:
        least = _split_inertias(np.sort(rows, 1)).min(1)
    floored: np.ndarray = np.maximum(least, _LEAST_INERTIA)
    return floored


def _split_inertias(ordered: np.ndarray) -> np.ndarray:
    """Return the inertia of cutting each sorted row after its 1st, 2nd, … but last number."""
    n = ordered.shape[1]
    counts = np.arange(1, n)
    sums, squares = ordered.cumsum(1), np.square(ordered).cumsum(1)
    left = squares[:, :-1] - sums[:, :-1] ** 2 / counts
    right = (squares[:, -1:] - squares[:, :-1]) - (sums[:, -1:] - sums[:, :-1]) ** 2 / (n - counts)
    inertias: np.ndarray = left + right
    return inertias
