"""Bulyan (El Mhamdi et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustbench_fl.aggregators._columns import sorted_blocks
from robustbench_fl.aggregators._distances import squared_distances
from robustbench_fl.aggregators._krum import chosen, krum_picks, krum_scores
from robustbench_fl.aggregators._near_median import mean_near_median
from robustbench_fl.api import Aggregation, Aggregator, InfeasibleError, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


def bulyan(updates: Tensor, f: int) -> Tensor:
    """Pick updates by Krum, then average their coordinates around the median.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    f : int
        Assumed number of malicious clients; ``n >= 4 f + 3``.

    Returns
    -------
    Tensor [d]
        In each coordinate the mean of the ``n − 4f`` values nearest to the median of the
        ``n − 2f`` picks.

    Raises
    ------
    InfeasibleError
        If ``n < 4 f + 3``.
    """
    return _outcome(updates, f).aggregate


@register("bulyan", paper="El Mhamdi 2018", year=2018, cost="n²d")
@dataclass(frozen=True, kw_only=True)
class Bulyan(Aggregator):
    """Pick ``θ = n − 2f`` updates by Krum, then average each coordinate around their median.

    Krum picks one update after the other, each time among those that are left: with n' left, a
    score sums the squared distances to the ``max(1, n' − f − 2)`` nearest of them. Then the
    ``θ − 2f`` values nearest to the median of the picks are averaged in each coordinate.

    Notes
    -----
    Needs ``n >= 4f + 3``. The scores reported are those of the first pick, when all are there.
    The last picks count few neighbours (one, for f up to 2); two rows that are each other's nearest
    then score alike, and the first of them is taken, as Krum's paper has it. Of two values equally
    far from the median the smaller one counts as nearer. Some ports score once and take the best
    θ, which is another rule. Time O(n² d + n³), extra memory one block of columns.

    Faithfulness
    ------------
    Release: none by the authors.
    Compared: numbers, in the review.
    Difference: none found.
    On purpose: ties between two rows left go to the first; of two values equally far from the median the
        smaller is nearer.
    Elsewhere: several ports score once and take the best θ, which is another rule; FLPoison
        (``github.com/vio1etus/FLPoison`` at 368c940, ``aggregators/bulyan.py``) picks from a shortened
        list and uses the positions in the whole one.

    References
    ----------
    .. [1] E. M. El Mhamdi, R. Guerraoui and S. Rouault, "The Hidden Vulnerability of Distributed
       Learning in Byzantium", ICML 2018, Section 4.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """The assumed f."""
        return frozenset({Need.F})

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Bulyan needs ``n >= 4f + 3``."""
        return _infeasible(n_clients, f)

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the aggregate, who was picked, and everyone's Krum score."""
        return _outcome(updates, view.f), None


def _outcome(updates: Tensor, f: int) -> Aggregation:
    n = len(updates)
    if reason := _infeasible(n, f):
        raise InfeasibleError(f"Bulyan: {reason}.")
    distances = squared_distances(updates)
    picks = krum_picks(distances, f, n - 2 * f)
    step = sorted_blocks(updates, lambda block: mean_near_median(block, n - 4 * f), picks)
    return Aggregation(step, selected=chosen(picks, n), scores=krum_scores(distances, n - f - 2))


def _infeasible(n: int, f: int) -> str | None:
    if n >= 4 * f + 3:
        return None
    return f"it needs n >= 4f + 3 clients; n = {n}, f = {f} asks for {4 * f + 3}"
