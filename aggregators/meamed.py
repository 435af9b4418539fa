"""Mean around the median (Xie et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robustbench_fl.aggregators._columns import sorted_blocks
from robustbench_fl.aggregators._near_median import mean_near_median
from robustbench_fl.api import (
    Aggregation,
    Aggregator,
    FromOrder,
    InfeasibleError,
    Need,
    ServerView,
    SortedRows,
    register,
)

if TYPE_CHECKING:
    from torch import Tensor


def meamed(updates: Tensor, f: int) -> Tensor:
    """Average in each coordinate the n − f values nearest to its median.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    f : int
        Values left out of each coordinate; ``2 * f < n``.

    Returns
    -------
    Tensor [d]
        The means. Of two values equally far from the median the smaller one counts as nearer.

    Raises
    ------
    InfeasibleError
        If ``n <= 2 f``.
    """
    n = len(updates)
    if reason := _infeasible(n, f):
        raise InfeasibleError(f"Mean around the median: {reason}.")
    return sorted_blocks(updates, lambda block: mean_near_median(block, n - f))


@register("meamed", aliases=("mean_around_median",), paper="Xie 2018", year=2018, cost="nd log n")
@dataclass(frozen=True, kw_only=True)
class Meamed(Aggregator, FromOrder):
    """Average in each coordinate the n − f values nearest to its median.

    Notes
    -----
    Needs ``n > 2f``. For even n the median is the mean of the two middle values, as in the paper
    and in ByzFL with NumPy; ByzFL takes the lower one with torch. Time O(n d log n), extra memory
    one block of columns.

    Faithfulness
    ------------
    Release: none by the authors.
    Compared: numbers, in the review; with ByzFL (``github.com/LPD-EPFL/byzfl`` at 69bd1ac), numbers, n =
        10 to 60, d = 10 to 10,000.
    Difference: 3e-7 of the largest entry.
    On purpose: nothing.
    Elsewhere: ByzFL's torch form takes the lower median for even n.

    References
    ----------
    .. [1] C. Xie, O. Koyejo and I. Gupta, "Generalized Byzantine-tolerant SGD",
       arXiv 1802.10116, 2018.
    """

    coordinatewise: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Need]:
        """The assumed f."""
        return frozenset({Need.F})

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """The median must be an honest value's neighbour: ``n > 2f``."""
        return _infeasible(n_clients, f)

    def ordered_step(self, columns: SortedRows, view: ServerView) -> Tensor:
        """Return the mean around the median."""
        return mean_near_median(columns[:], len(columns) - view.f)

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean around the median."""
        return Aggregation(meamed(updates, view.f)), None


def _infeasible(n: int, f: int) -> str | None:
    return None if n > 2 * f else f"it needs n > 2f clients; n = {n}, f = {f} asks for {2 * f + 1}"
