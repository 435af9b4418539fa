"""k-means for the few points that the clients of one round are, the same on every run."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STARTS = 10
"""Starts tried; the best is taken."""


def k_means(points: NDArray[np.float64], k: int, *, starts: int = _STARTS) -> NDArray[np.int64]:
    """Return the cluster of every point.

    Parameters
    ----------
    points : float array [n, d]
        What is clustered; its order breaks ties and chooses the starts.
    k : int
        Clusters, at most n.
    starts : int
        Starts (k-means++) of which the one with the least inertia is taken.

    Returns
    -------
    int array [n]
        Numbers from 0; fewer than k if fewer points differ.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    scale = float(np.abs(points).max(initial=0)) or 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Scaled, so that squares of rows of 1e30 stay finite.
        model = KMeans(n_clusters=min(k, len(points)), n_init=starts, random_state=0).fit(points / scale)
    labels: NDArray[np.int64] = model.labels_.astype(np.int64)
    return labels
