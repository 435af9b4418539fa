"""AlignIns, direction alignment inspection (Xu et al., 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Gt, Le

from robustbench_fl.aggregators._directions import inner_products
from robustbench_fl.aggregators._filtering import average_of, clipped_weights, median_deviations
from robustbench_fl.aggregators._magnitudes import row_chunks
from robustbench_fl.aggregators._rows import middle, row_norms
from robustbench_fl.aggregators._signs import sign_sums
from robustbench_fl.api import Aggregation, Aggregator, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


def temporal_alignment(updates: Tensor, params: Tensor) -> Tensor:
    """Return the cosine of every update with the global parameters (TDA).

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    params : Tensor [d]
        Global parameters.

    Returns
    -------
    float64 Tensor [n]
        0 where a length is zero.
    """
    lengths = row_norms(updates) * row_norms(params[None])
    return torch.where(
        lengths > 0, inner_products(updates, params) / torch.where(lengths > 0, lengths, 1.0), 0.0
    )


def sign_alignment(updates: Tensor, share: float = 0.3) -> Tensor:
    """Return the share of each client's largest entries that have the majority's sign (MPSA).

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    share : float
        Entries looked at, those of largest magnitude, as a share of d.

    Returns
    -------
    float64 Tensor [n]
        From 0 to 1. The majority's sign is that of the sum of all clients' signs, 0 in a tie.
    """
    count = max(1, int(share * updates.shape[1] + 1e-9))
    majority = sign_sums(updates).sign()
    shares = torch.empty(len(updates), dtype=torch.float64, device=updates.device)
    for rows in row_chunks(updates):
        chunk = updates[rows]
        largest = chunk.abs().topk(count, dim=1).indices
        shares[rows] = (chunk.sign() == majority).gather(1, largest).double().mean(1)
    return shares


@register("alignins", paper="Xu 2025", year=2025, cost="nd")
@dataclass(frozen=True, kw_only=True)
class AlignIns(Aggregator):
    """Reject updates whose direction deviates from the others' relation to model and majority.

    Two numbers a client: the cosine of its update with the global parameters, and the share of its
    largest 30 % entries that have the majority's sign. Who is `direction_limit` or `sign_limit`
    standard deviations or more from the median of either is accused. The others are clipped to the
    median of their norms and averaged; if there are none, the model is kept.

    Parameters
    ----------
    direction_limit, sign_limit : float
        The paper's λ_c and λ_s.
    share : float
        Share of the entries whose signs are compared, in (0, 1].

    Notes
    -----
    Where all clients agree (standard deviation 0) all pass. Scores are the larger of the two
    deviations. Time O(n d), extra memory a few updates and a block of columns.

    Faithfulness
    ------------
    Release: the authors' ``github.com/JiiahaoXU/AlignIns`` was not read; ``github.com/YuqingLi-hub/AlignIns``
        at 032f6a7, ``src/aggregation.py``, a repository of the same name, has the rule.
    Compared: numbers, in the review; with a transcription of that file, numbers, 24 rounds, n = 20 and 21,
        d = 600.
    Difference: none in who is kept; 2e-7 of the largest entry where an odd number is kept, up to 1e-2 where
        an even one is.
    On purpose: of an even number of norms kept the median is the mean of the middle two, there the lower;
        kept updates are averaged alike, there by sample counts; where all agree all pass, there nobody.

    References
    ----------
    .. [1] J. Xu, Z. Zhang and R. Hu, "Detecting Backdoor Attacks in Federated Learning via
       Direction Alignment Inspection", CVPR 2025, Algorithm 1.
    """

    direction_limit: Annotated[float, Gt(0)] = 1.0
    sign_limit: Annotated[float, Gt(0)] = 1.0
    share: Annotated[float, Gt(0), Le(1)] = 0.3

    detector: ClassVar[bool] = True
    translation: ClassVar[bool] = False
    tuning: ClassVar = {"direction_limit": (0.5, 1.0, 2.0)}
    """The paper's λ_c, half and twice as much."""

    @property
    def needs(self) -> frozenset[Need]:
        """The global parameters."""
        return frozenset({Need.MODEL})

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean of those who pass both tests."""
        directions = median_deviations(temporal_alignment(updates, view.params))
        signs = median_deviations(sign_alignment(updates, self.share))
        kept = (directions < self.direction_limit) & (signs < self.sign_limit)
        norms = row_norms(updates)
        limit = middle(norms[kept]) if bool(kept.any()) else 0.0
        weights = clipped_weights(norms, kept, limit)
        return average_of(updates, kept, weights, scores=torch.maximum(directions, signs)), None
