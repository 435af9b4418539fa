"""MoNNA, mixing with the nearest neighbours (Farhadkhani et al., 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from annotated_types import Ge

from robustbench_fl.aggregators._rows import row_distances, weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, InfeasibleError, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


def monna(updates: Tensor, own: Tensor, f: int) -> Tensor:
    """Average one's own update and its n − f nearest of the others.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row for each of the others.
    own : Tensor [d]
        The update that is trusted.
    f : int
        Others left out, the farthest ones.

    Returns
    -------
    Tensor [d]
        The mean of n − f + 1 updates.

    Raises
    ------
    InfeasibleError
        Unless ``n + 1 > 2f``.
    """
    if reason := _infeasible(len(updates) + 1, f):
        raise InfeasibleError(f"MoNNA: {reason}.")
    weights = _nearest(updates, own, len(updates) - f)[0] / (len(updates) - f + 1)
    return weighted_sum(weights, updates) + own / (len(updates) - f + 1)


@register("monna", paper="Farhadkhani 2023", year=2023, cost="nd + one training")
@dataclass(frozen=True, kw_only=True)
class MoNNA(Aggregator):
    """Average a trusted update and those nearest to it.

    In the paper there is no server: each node averages what it holds itself and the nearest of what the
    others sent, and trusts itself. Here the server is one more node: its own update comes from the
    clients' local recipe on its root data. It averages that and the n − f nearest of the clients'.

    Parameters
    ----------
    trusted : int, optional
        A client that is known to be honest, in place of the server: the mean of the n − f updates nearest
        to its own, itself included. In a round that it misses the model is kept. No root data are needed.

    Notes
    -----
    Needs more than twice f nodes, the server counted where it is one. Equal distances go to the client that
    sent first. Scores are the distances from the trusted update. Time O(n d), and one local training for
    the server's update; extra memory nothing to speak of.

    Faithfulness
    ------------
    Release: ``github.com/LPD-EPFL/byzfl`` at 69bd1ac (``byzfl/aggregators/aggregators.py``), the authors'.
    Compared: ``trusted`` with ByzFL's ``MoNNA(f, idx)``, numbers, n = 10 to 60, d = 10 to 10,000.
    Difference: 5e-7 of the largest entry.
    On purpose: the server trusts its own update by default, where ByzFL names a client, the first by default.

    References
    ----------
    .. [1] S. Farhadkhani, R. Guerraoui, N. Gupta, L.-N. Hoang, R. Pinot and J. Stephan, "Robust
       Collaborative Learning with Linear Gradient Overhead", ICML 2023, Algorithm 1.
    """

    trusted: Annotated[int, Ge(0)] | None = None

    translation: ClassVar[bool] = False
    scale: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[Need]:
        """The assumed f, and root data or who sent which row."""
        return frozenset({Need.F, Need.ROOT_DATA if self.trusted is None else Need.CLIENT_IDS})

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Most nodes must be honest."""
        return _infeasible(n_clients + (self.trusted is None), f)

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean of the trusted update and its neighbours."""
        count = len(updates) - view.f
        if self.trusted is None:
            own = view.root.train().to(updates)
            near, distances = _nearest(updates, own, count)
            step = (weighted_sum(near, updates) + own) / (count + 1)
            return Aggregation(step, selected=near > 0, scores=distances), None
        if self.trusted not in view.client_ids:
            return Aggregation(torch.zeros_like(updates[0])), None
        near, distances = _nearest(updates, updates[view.client_ids.index(self.trusted)], count)
        weights = near / count
        step = weighted_sum(weights, updates)
        return Aggregation(step, weights=weights, selected=near > 0, scores=distances), None


def _nearest(updates: Tensor, point: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return ones for the `count` rows nearest to `point` [n], and all distances [n]."""
    distances = row_distances(updates, point)
    near = updates.new_zeros(len(updates))
    near[distances.argsort(stable=True)[:count]] = 1
    return near, distances


def _infeasible(nodes: int, f: int) -> str | None:
    return None if nodes > 2 * f else f"of {nodes} nodes fewer than half may be malicious; f = {f}"
