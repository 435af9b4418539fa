"""How non-IID a split is, in numbers that compare across partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustbench_fl.data.shares import Shares

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class SkewReport:
    """A split in three numbers.

    Parameters
    ----------
    sizes : list of int
        Samples of each client.
    label_entropy : float
        Mean over clients of the entropy of their labels, in bits; log2(classes) when balanced.
    total_variation : float
        Mean over clients of the total-variation distance between their labels and all clients'
        labels together, in [0, 1]; 0 is IID.
    """

    sizes: list[int]
    label_entropy: float
    total_variation: float


def label_counts(
    labels: NDArray[np.int64], clients: Sequence[NDArray[np.int64]], n_classes: int
) -> NDArray[np.int64]:
    """Return how many samples of each class each client has, [n_clients, n_classes]."""
    shares = Shares.of(clients)
    places = shares.owners * n_classes + labels[shares.members]
    return np.bincount(places, minlength=len(shares) * n_classes).reshape(len(shares), n_classes)


def client_skew(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each client's label entropy in bits, and its total-variation distance from the whole.

    Parameters
    ----------
    counts : int array [n_clients, n_classes]
        As from :func:`label_counts`.
    """
    shares = counts / counts.sum(axis=1, keepdims=True)
    overall = counts.sum(axis=0) / counts.sum()
    bits = -np.sum(shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0), axis=1)
    return bits, 0.5 * np.abs(shares - overall).sum(axis=1)


def skew_report(
    labels: NDArray[np.int64], clients: Sequence[NDArray[np.int64]], n_classes: int
) -> SkewReport:
    """Measure a split.

    Parameters
    ----------
    labels : int array [N]
        Classes of the training data.
    clients : sequence of int array
        Positions in `labels`, one non-empty array a client.
    n_classes : int
        Number of classes.
    """
    return skew_of(label_counts(labels, clients, n_classes))


def skew_of(counts: NDArray[np.int64]) -> SkewReport:
    """Measure a split of which the `counts` are known, as from :func:`label_counts`."""
    bits, distance = client_skew(counts)
    return SkewReport(
        sizes=counts.sum(axis=1).tolist(),
        label_entropy=float(bits.mean()) + 0.0,
        total_variation=float(distance.mean()),
    )
