"""The mean of the updates: federated averaging (McMahan et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from robustbench_fl.aggregators._rows import weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


def mean(updates: Tensor, counts: Tensor | None = None) -> Tensor:
    """Return the mean of the updates.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    counts : Tensor [n], optional
        Weigh by these; all the same by default.

    Returns
    -------
    Tensor [d]
        The mean; zeros if the counts sum to zero.
    """
    return weighted_sum(_shares(updates, counts), updates)


@register("mean", aliases=("fedavg", "average"), paper="McMahan 2017", year=2017, cost="nd")
@dataclass(frozen=True, kw_only=True)
class Mean(Aggregator):
    """Average the updates: no defence, and the measure without an attack.

    Parameters
    ----------
    weighted : bool
        Weigh each client by the number of samples it says it has. Nobody can check that number: a
        malicious client that claims many samples gains weight.

    Faithfulness
    ------------
    Release: none.
    Compared: with ByzFL (``github.com/LPD-EPFL/byzfl`` at 69bd1ac), numbers, n = 10 to 60, d = 10 to
        10,000.
    Difference: 5e-7 of the largest entry.
    On purpose: unweighted by default, since clients may lie about sample counts; the paper weighs.

    References
    ----------
    .. [1] H. B. McMahan et al., "Communication-Efficient Learning of Deep Networks from
       Decentralized Data", AISTATS 2017, Algorithm 1.
    """

    weighted: bool = False

    coordinatewise: ClassVar[bool] = True
    robust: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[Need]:
        """The claimed sample counts, if weighted."""
        return frozenset({Need.SAMPLE_COUNTS}) if self.weighted else frozenset()

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean and the weights behind it."""
        weights = _shares(updates, view.sample_counts if self.weighted else None)
        return Aggregation(weighted_sum(weights, updates), weights=weights), None


def _shares(updates: Tensor, counts: Tensor | None) -> Tensor:
    """Return weights that sum to one, so that no sum is larger than its largest value."""
    n = len(updates)
    if counts is None:
        return updates.new_full((n,), 1 / n)
    shares = counts.to(updates.device, torch.float64)
    total = shares.sum()
    return (shares / total if total > 0 else torch.zeros_like(shares)).to(updates.dtype)
