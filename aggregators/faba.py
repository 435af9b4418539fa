"""FABA (Xia et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from robustbench_fl.aggregators._distances import squared_distances
from robustbench_fl.aggregators._rows import weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, InfeasibleError, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


def faba(updates: Tensor, f: int) -> Tensor:
    """Drop f times the update farthest from the mean of those that are left, and average the rest.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    f : int
        Updates dropped.

    Returns
    -------
    Tensor [d]
        The mean of the others.

    Raises
    ------
    InfeasibleError
        Unless ``n > 2f``.
    """
    if reason := _infeasible(len(updates), f):
        raise InfeasibleError(f"FABA: {reason}.")
    kept = remaining(squared_distances(updates), f)
    return weighted_sum(kept.to(updates.dtype) / kept.sum(), updates)


def remaining(distances: Tensor, f: int) -> Tensor:
    """Return who is left after f times the farthest from the mean of those left is dropped.

    Parameters
    ----------
    distances : float64 Tensor [n, n]
        Squared distances between every two updates.
    f : int
        How many are dropped.

    Returns
    -------
    bool Tensor [n]
        Those left. The squared distance from the mean of k updates is the mean of the squared distances
        from them, less what is the same for all of them.
    """
    kept = torch.ones(len(distances), dtype=torch.bool, device=distances.device)
    for _ in range(f):
        # Added up anew: beside a huge distance, once subtracted again, nothing is left of the others.
        totals = torch.where(kept, distances, 0.0).sum(1)
        kept[int(torch.where(kept, totals, -torch.inf).argmax())] = False
    return kept


@register("faba", paper="Xia 2019", year=2019, cost="n²d")
@dataclass(frozen=True, kw_only=True)
class FABA(Aggregator):
    """Drop f times the update that is farthest from the mean of those left, and average the rest.

    Notes
    -----
    Needs ``n > 2f``. Of equally far updates the one sent first is dropped. Time O(n² d), extra memory one
    block of columns in float64.

    Faithfulness
    ------------
    Release: none read.
    Compared: numbers, by hand and with a slow reference of the paper's definition, in the tests.
    Difference: none found.
    On purpose: nothing.

    References
    ----------
    .. [1] Q. Xia, Z. Tao, Z. Hao and Q. Li, "FABA: An Algorithm for Fast Aggregation against Byzantine
       Attacks in Distributed Neural Networks", IJCAI 2019, Algorithm 1.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """The assumed f."""
        return frozenset({Need.F})

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Fewer than half may be malicious."""
        return _infeasible(n_clients, f)

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean of those left."""
        selected = remaining(squared_distances(updates), view.f)
        weights = selected.to(updates.dtype) / selected.sum()
        return Aggregation(weighted_sum(weights, updates), weights=weights, selected=selected), None


def _infeasible(n: int, f: int) -> str | None:
    return None if n > 2 * f else f"it needs n > 2f; n = {n}, f = {f}"
