"""Coordinate-wise trimmed mean (Yin et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Lt

from robustbench_fl.aggregators._columns import sorted_blocks
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


def trimmed_mean(updates: Tensor, cut: int) -> Tensor:
    """Average each coordinate after dropping its extremes.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    cut : int
        Values dropped at either end of each coordinate; ``2 * cut < n``.

    Returns
    -------
    Tensor [d]
        The mean of the ``n − 2·cut`` values left.

    Raises
    ------
    InfeasibleError
        If nothing would be left.
    """
    n = len(updates)
    if reason := _infeasible(n, cut):
        raise InfeasibleError(f"Trimmed mean: {reason}.")
    return sorted_blocks(updates, lambda block: block[cut : n - cut].mean(0))


@register("trimmed_mean", aliases=("trmean",), paper="Yin 2018", year=2018, cost="nd log n")
@dataclass(frozen=True, kw_only=True)
class TrimmedMean(Aggregator, FromOrder):
    """Average each coordinate after dropping its extremes.

    Parameters
    ----------
    trim : float, optional
        Fraction of the clients cut at either end, in [0, 0.5). By default the number of
        clients the server assumes malicious is cut.

    Notes
    -----
    Needs ``n > 2 cut``. Time O(n d log n), extra memory one block of columns.

    Faithfulness
    ------------
    Release: none by the authors.
    Compared: numbers, in the review; with ByzFL (``github.com/LPD-EPFL/byzfl`` at 69bd1ac), numbers, n =
        10 to 60, d = 10 to 10,000.
    Difference: 2e-7 of the largest entry.
    On purpose: the share cut is f/n by default, which the paper's β bounds from above.

    References
    ----------
    .. [1] D. Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal
       Statistical Rates", ICML 2018, Definition 2.
    """

    trim: Annotated[float, Ge(0), Lt(0.5)] | None = None

    coordinatewise: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Need]:
        """The assumed f, unless a fraction is given."""
        return frozenset({Need.F}) if self.trim is None else frozenset()

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Some values must be left."""
        return _infeasible(n_clients, self._cut(n_clients, f))

    def ordered_step(self, columns: SortedRows, view: ServerView) -> Tensor:
        """Return the mean of the rows that are not cut."""
        n = len(columns)
        cut = self._cut(n, view.f if self.trim is None else 0)
        kept = columns[cut : n - cut]
        return kept.new_full((len(kept),), 1 / len(kept)) @ kept

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the trimmed mean."""
        f = view.f if self.trim is None else 0
        return Aggregation(trimmed_mean(updates, self._cut(len(updates), f))), None

    def _cut(self, n_clients: int, f: int) -> int:
        # The product may fall just short of a whole number: 0.29 * 100 = 28.999….
        return f if self.trim is None else floor(self.trim * n_clients + 1e-9)


def _infeasible(n: int, cut: int) -> str | None:
    return None if n > 2 * cut else f"it needs n > 2f clients; {cut} of {n} would be cut at either end"
