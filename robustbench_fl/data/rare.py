"""The rarest images of a class: those of lowest density under a Gaussian of its training images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

COMPONENTS = 20
"""Principal components of the Gaussian; what they leave is noise of one variance."""
FEWEST = 10
"""Images that are rare at least, where there are as many."""


def rarity(images: Tensor, reference: Tensor) -> Tensor:
    """Return how rare each image is, larger for rarer.

    Parameters
    ----------
    images : Tensor [n, p]
        Flattened images.
    reference : Tensor [k, p]
        What the Gaussian is fitted to, k ≥ 1.

    Returns
    -------
    float64 Tensor [n]
        The squared Mahalanobis distance from the mean of `reference`: along its first twenty principal
        components by their variances, in all other directions by the mean variance left there.

    Notes
    -----
    Probabilistic principal component analysis: up to a constant this is −2 log density (M. Tipping and
    C. Bishop, 1999).
    """
    reference = reference.double()
    mean = reference.mean(0)
    centred = reference - mean
    q = min(COMPONENTS, len(reference) - 1, reference.shape[1] - 1)
    offsets = images.double() - mean
    distances: Tensor = offsets.square().sum(1)
    if q < 1 or not bool(centred.any()):
        return distances
    _, lengths, directions = torch.linalg.svd(centred, full_matrices=False)
    variances = lengths.square() / len(reference)
    noise = variances[q:].sum() / (reference.shape[1] - q)
    # Directions in which the reference does not vary at all would make anything else infinitely rare.
    floor = 1e-6 * variances.sum()
    along = offsets @ directions[:q].T
    across = (distances - along.square().sum(1)).clamp(min=0)
    inside = (along.square() / variances[:q].clamp(min=floor)).sum(1)
    total: Tensor = inside + across / noise.clamp(min=floor)
    return total


def rarest(images: Tensor, reference: Tensor, share: float) -> Tensor:
    """Return the positions of the rarest `share` of `images`, at least ten, the rarest first.

    Parameters
    ----------
    images, reference : Tensor
        As in :func:`rarity`.
    share : float
        In (0, 1].
    """
    count = min(len(images), max(FEWEST, round(share * len(images))))
    return rarity(images, reference).sort(descending=True, stable=True).indices[:count]
