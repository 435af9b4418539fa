"""FoolsGold (Fung et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Gt

from robustbench_fl.aggregators._directions import direction_distances
from robustbench_fl.aggregators._rows import weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, Need, ServerSpec, ServerView, State, register

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Histories(State):
    """What FoolsGold remembers.

    Parameters
    ----------
    sums : dict of int to Tensor [d]
        The sum of each client's updates so far.
    """

    sums: dict[int, Tensor] = field(default_factory=dict)


def foolsgold(updates: Tensor, histories: Tensor | None = None, *, kappa: float = 1.0) -> Tensor:
    """Average the updates by how little their senders' histories resemble each other.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    histories : Tensor [n, d], optional
        Sum of each client's updates, this round's included; by default this round's alone.
    kappa : float
        Confidence, the slope of the logit.

    Returns
    -------
    Tensor [d]
        The weighted mean; zeros if everybody is taken for a copy of somebody.
    """
    return weighted_sum(_shares(trust(updates if histories is None else histories, kappa)), updates)


def trust(histories: Tensor | Sequence[Tensor], kappa: float = 1.0) -> Tensor:
    """Return the learning rate that FoolsGold gives each client.

    Parameters
    ----------
    histories : Tensor [n, d] or sequence of n Tensor [d]
        Sum of each client's updates.
    kappa : float
        Slope of the logit.

    Returns
    -------
    float64 Tensor [n]
        From 0, for a client whose history another shares, to 1.
    """
    cosines = (1 - direction_distances(histories)).fill_diagonal_(0)
    # The diagonal of zeros counts: nobody's best match is worse than none, and pardoning never
    # turns a negative cosine into a positive one.
    best = cosines.amax(1)
    # Fixed before: pardoning one client must not change what the next is measured by.
    ratio = best[:, None] / torch.where(best > 0, best, 1.0)
    pardoned = torch.where(best[:, None] < best, cosines * ratio, cosines)
    alpha = (1 - pardoned.amax(1)).clamp(0, 1)
    if not bool(alpha.any()):
        return alpha
    alpha = alpha / alpha.max()
    alpha = torch.where(alpha == 1, 0.99, alpha)
    return (kappa * (torch.logit(alpha) + 0.5)).clamp(0, 1)


@register("foolsgold", paper="Fung 2020", year=2020, cost="n²d")
@dataclass(frozen=True, kw_only=True)
class FoolsGold(Aggregator):
    """Trust clients less the more their past updates resemble another client's.

    Sybils that push towards one goal resemble each other more than honest clients with data of
    their own do. Each client's history is the sum of its updates. v_i is its largest cosine with
    another history, at least 0; honest clients are pardoned: a cosine with a client of larger v
    is scaled by v_i / v_j. α_i = 1 − max_j is rescaled to a maximum of 1, and stretched by a logit.

    Parameters
    ----------
    kappa : float
        The paper's confidence κ.
    memory : bool
        Whether histories reach back over all rounds, as in the paper, or are this round's updates
        alone, as in some ports; without it no client identity is needed.
    normalise : bool
        Whether the weighted sum is divided by the sum of the weights. The paper's is not, and is
        up to n times larger.

    Notes
    -----
    Whole updates are compared, not those of the last layer alone. Copies are recognised by cosines that
    are 1 up to rounding. If nobody is trusted, the model is kept. Not made against a single
    attacker, whose weight is 1. Scores are one minus the weight before normalisation. Time O(n² d),
    extra memory one block of columns; with `memory` the state is, by the rule's definition, one vector
    for each client ever seen: as large as the updates, and twice that while a round replaces it.

    Faithfulness
    ------------
    Release: ``github.com/DistributedML/FoolsGold``, the authors', ``ML/code/model_aggregator.py`` at 1fcd4f2
        and ``deep-fg/fg/foolsgold.py`` at 661f7fd.
    Compared: numbers, in the review; ``normalise=false`` with a transcription of the two, numbers, 12 rounds
        with their memory, n = 21, d = 600.
    Difference: 2e-7 of the largest entry.
    On purpose: the sum is divided by the sum of the weights unless ``normalise=false``; whole updates are
        compared, there also the features that matter most alone; where everybody is a copy the model is kept,
        there 0 is divided by 0.

    References
    ----------
    .. [1] C. Fung, C. J. M. Yoon and I. Beschastnikh, "The Limitations of Federated Learning in
       Sybil Settings", RAID 2020, Algorithm 1.
    """

    kappa: Annotated[float, Gt(0)] = 1.0
    memory: bool = True
    normalise: bool = True

    robust: ClassVar[bool] = False
    translation: ClassVar[bool] = False
    tuning: ClassVar = {"kappa": (0.5, 1.0, 2.0)}
    """The paper's κ, half and twice as much."""

    @property
    def needs(self) -> frozenset[Need]:
        """Client identity and a memory, unless only this round counts."""
        return frozenset({Need.CLIENT_IDS, Need.HISTORY}) if self.memory else frozenset()

    def init_state(self, spec: ServerSpec) -> Histories | None:
        """Start without histories."""
        return Histories() if self.memory else None

    def aggregate(
        self, updates: Tensor, view: ServerView, state: Histories | None
    ) -> tuple[Aggregation, Histories | None]:
        """Return the weighted mean, and the histories with this round's updates in them."""
        histories: Tensor | list[Tensor] = updates
        if state is not None:
            ids: tuple[int, ...] = view.client_ids
            # A tensor for each client: views of one matrix would keep all of it for the last of them.
            latest = {
                client: row + state.sums[client] if client in state.sums else row.clone()
                for client, row in zip(ids, updates, strict=True)
            }
            histories = list(latest.values())
            state = Histories(sums={**state.sums, **latest})
        trusted = trust(histories, self.kappa)
        weights = (_shares(trusted) if self.normalise else trusted).to(updates.dtype)
        step = weighted_sum(weights, updates)
        return Aggregation(step, weights=weights, selected=weights > 0, scores=1 - trusted), state


def _shares(trusted: Tensor) -> Tensor:
    total = trusted.sum()
    return trusted / total if total > 0 else trusted
