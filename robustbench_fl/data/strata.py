"""Whole-number shares and stratified draws: every class keeps its part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def largest_remainder(weights: NDArray[np.float64] | NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Return whole numbers that sum to `total` in proportion to `weights`.

    Every share is rounded down, and what is left goes to the largest fractions (the first of
    equal ones), so each number is within one of its exact share.

    Parameters
    ----------
    weights : array [n]
        Non-negative, not all zero.
    total : int
        What the shares sum to.

    Examples
    --------
    >>> largest_remainder(np.array([1.0, 1.0, 2.0]), 10).tolist()
    [3, 2, 5]
    """
    exact = np.asarray(weights, dtype=np.float64)
    exact = exact * (total / exact.sum())
    shares: NDArray[np.int64] = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - shares), kind="stable")
    shares[order[: total - int(shares.sum())]] += 1
    return shares


class Strata:
    """The samples of each class in random order, to be drawn from without replacement.

    Parameters
    ----------
    labels : int array [N]
        Classes.
    n_classes : int
        Number of classes.
    rng : numpy.random.Generator
        Decides the order within each class.
    """

    def __init__(self, labels: NDArray[np.int64], n_classes: int, rng: np.random.Generator) -> None:
        self._pools = [rng.permutation(np.flatnonzero(labels == c)) for c in range(n_classes)]

    def __len__(self) -> int:
        """Return how many samples are left."""
        return sum(map(len, self._pools))

    def draw(self, size: int) -> NDArray[np.int64]:
        """Take `size` samples out, the classes in proportion to what they have left.

        Returns
        -------
        int64 array [size]
            Sorted positions in the labels.
        """
        if size > len(self):
            raise ValueError(f"cannot draw {size} of {len(self)} samples")
        if size == 0:
            return np.empty(0, dtype=np.int64)
        counts = largest_remainder(np.array([len(pool) for pool in self._pools]), size)
        taken = [pool[:count] for pool, count in zip(self._pools, counts, strict=True)]
        self._pools = [pool[count:] for pool, count in zip(self._pools, counts, strict=True)]
        return np.sort(np.concatenate(taken))

    def rest(self) -> NDArray[np.int64]:
        """Return the sorted positions of everything not drawn."""
        return np.sort(np.concatenate(self._pools))
