"""SignGuard (Xu et al., 2022)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from annotated_types import Gt, Le
from torch import Tensor

from robustbench_fl.aggregators._filtering import clipped_weights
from robustbench_fl.aggregators._rows import middle, row_norms, weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, ServerView, register

_BLOCK_VALUES = 2**17
"""Values whose signs are counted at a time."""
_LEAST_BANDWIDTH = 1e-6
"""Clients whose features agree have bandwidth 0, which mean shift refuses."""


def signguard(
    updates: Tensor,
    rng: np.random.Generator,
    *,
    lower: float = 0.1,
    upper: float = 3.0,
    share: float = 0.1,
) -> Tensor:
    """Average the updates of usual length and usual balance of signs, clipped.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    rng : numpy.random.Generator
        Draws the slice of coordinates whose signs are counted.
    lower, upper : float
        Norms kept lie strictly between these multiples of the median norm.
    share : float
        Length of the slice, as a share of d.

    Returns
    -------
    Tensor [d]
        The aggregate; zeros if nobody passes.
    """
    norms = row_norms(updates)
    kept = _usual_lengths(norms, lower, upper) & usual_signs(updates, rng, share)
    return weighted_sum(clipped_weights(norms, kept, middle(norms)), updates)


def usual_signs(updates: Tensor, rng: np.random.Generator, share: float = 0.1) -> Tensor:
    """Return who is in the largest cluster of sign statistics.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    rng : numpy.random.Generator
        Draws the slice.
    share : float
        Length of the contiguous slice, as a share of d.

    Returns
    -------
    bool Tensor [n]
        Members of the largest mean-shift cluster; of equals, the denser.
    """
    d = updates.shape[1]
    length = max(1, int(share * d + 1e-9))
    start = int(rng.integers(d - length + 1))
    labels = _mean_shift(_sign_shares(updates[:, start : start + length]))
    largest = np.bincount(labels[labels >= 0]).argmax()
    return torch.from_numpy(labels == largest).to(updates.device)


@register("signguard", paper="Xu 2022", year=2022, cost="nd")
@dataclass(frozen=True, kw_only=True)
class SignGuard(Aggregator):
    """Reject updates of unusual length or with an unusual share of positive signs.

    Two filters: the norm must lie between `lower` and `upper` medians, and the shares of positive,
    zero and negative entries, counted on a random contiguous slice of the coordinates and each
    divided by the largest of the round, must be in the largest cluster (mean shift). Who
    passes both is clipped to the median norm of all updates and averaged. If nobody passes, the
    model is kept.

    Parameters
    ----------
    lower, upper : float
        Bounds of the norm in medians, both excluded.
    share : float
        Length of the slice of coordinates, in (0, 1].

    Notes
    -----
    The bandwidth of mean shift is scikit-learn's estimate at quantile 0.5; points that no window
    holds belong to no cluster. This is the paper's plain SignGuard, without a similarity as a
    fourth feature. Time O(n d), extra memory one block of columns.

    Faithfulness
    ------------
    Release: ``github.com/JianXu95/SignGuard`` at e1fcafc (``aggregators/signguard.py``), the authors'.
    Compared: numbers, in the review; the code line by line.
    Difference: none found.
    On purpose: for even n the median norm is the mean of the two middle ones, where the release's torch
        median takes the lower; NaN is dropped before the rule, not set to zero.

    References
    ----------
    .. [1] J. Xu, S.-L. Huang, L. Song and T. Lan, "Byzantine-robust Federated Learning through
       Collaborative Malicious Gradient Filtering", ICDCS 2022, Algorithm 2.
    """

    lower: Annotated[float, Gt(0)] = 0.1
    upper: Annotated[float, Gt(0)] = 3.0
    share: Annotated[float, Gt(0), Le(1)] = 0.1

    detector: ClassVar[bool] = True
    translation: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse bounds between which no norm lies."""
        if self.lower >= self.upper:
            raise ValueError(f"lower must be below upper, got {self.lower} and {self.upper}.")

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean of those who pass both filters; the others are accused."""
        norms = row_norms(updates)
        kept = _usual_lengths(norms, self.lower, self.upper) & usual_signs(updates, view.rng, self.share)
        weights = clipped_weights(norms, kept, middle(norms)).to(updates.dtype)
        step = weighted_sum(weights, updates)
        return Aggregation(step, weights=weights, selected=kept, rejected=~kept), None


def _usual_lengths(norms: Tensor, lower: float, upper: float) -> Tensor:
    median = middle(norms)
    return (norms > lower * median) & (norms < upper * median)


def _sign_shares(entries: Tensor) -> np.ndarray:
    """Return the shares of positive, zero and negative entries [n, 3], each by the largest."""
    counts = torch.zeros((len(entries), 3), dtype=torch.int64, device=entries.device)
    for block in torch.split(entries, max(1, _BLOCK_VALUES // len(entries)), dim=1):
        of_signs = [(block > 0), (block == 0), (block < 0)]
        counts += torch.stack([found.count_nonzero(dim=1) for found in of_signs], 1)
    counts = counts.double()
    features: np.ndarray = (counts / counts.amax(0).clamp(min=1)).cpu().numpy()
    return features


def _mean_shift(features: np.ndarray) -> np.ndarray:
    from sklearn.cluster import MeanShift, estimate_bandwidth

    bandwidth = max(estimate_bandwidth(features, quantile=0.5), _LEAST_BANDWIDTH)
    model = MeanShift(bandwidth=bandwidth, bin_seeding=True, cluster_all=False)
    with warnings.catch_warnings():
        # No two clients share a bin: then every client is a seed, which is as well.
        warnings.filterwarnings("ignore", message="Binning data failed")
        labels: np.ndarray = model.fit(features).labels_
    return labels
