"""Comparative gradient elimination (Gupta and Vaidya, 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_fl.aggregators._krum import chosen
from robustbench_fl.aggregators._rows import row_norms, weighted_sum
from robustbench_fl.api import Aggregation, Aggregator, InfeasibleError, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


def cge(updates: Tensor, f: int) -> Tensor:
    """Average the n − f shortest updates.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    f : int
        Updates left out, the longest ones.

    Returns
    -------
    Tensor [d]
        The mean of the others.

    Raises
    ------
    InfeasibleError
        Unless ``n > f``.
    """
    if reason := _infeasible(len(updates), f):
        raise InfeasibleError(f"CGE: {reason}.")
    return _outcome(updates, f).aggregate


@register("cge", paper="Gupta 2020", year=2020, cost="nd")
@dataclass(frozen=True, kw_only=True)
class CGE(Aggregator):
    """Average the n − f shortest updates.

    Notes
    -----
    The paper sums the gradients that are left; here they are averaged, so that the step is as long as
    an update. Of equally long updates those sent first are kept. Short malicious updates are kept by
    definition. Scores are the norms. Time O(n d), extra memory nothing to speak of.

    Faithfulness
    ------------
    Release: none read.
    Compared: numbers, by hand and with a slow reference of the paper's definition, in the tests.
    Difference: none found.
    On purpose: the mean in place of the sum.

    References
    ----------
    .. [1] N. Gupta and N. H. Vaidya, "Fault-Tolerance in Distributed Optimization: The Case of Redundancy",
       PODC 2020, Section 4.
    """

    translation: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[Need]:
        """The assumed f."""
        return frozenset({Need.F})

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Somebody must be left."""
        return _infeasible(n_clients, f)

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean of the shortest, and all norms."""
        return _outcome(updates, view.f), None


def _outcome(updates: Tensor, f: int) -> Aggregation:
    n = len(updates)
    norms = row_norms(updates)
    selected = chosen(norms.argsort(stable=True)[: n - f], n)
    weights = selected.to(updates.dtype) / (n - f)
    return Aggregation(weighted_sum(weights, updates), weights=weights, selected=selected, scores=norms)


def _infeasible(n: int, f: int) -> str | None:
    return None if n > f else f"it averages n - f updates; n = {n}, f = {f} leaves none"
