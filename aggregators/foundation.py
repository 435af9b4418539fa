"""FoundationFL (Fang et al., 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge

from robustbench_fl.aggregators._columns import median_of_sorted, sorted_blocks
from robustbench_fl.api import Aggregation, Aggregator, InfeasibleError, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor

Inner = Literal["trimmed_mean", "median"]

_BLOCK_VALUES = 2**16
"""Float64 values compared with the extremes at a time on a CPU; the block stays in the cache."""
_DEVICE_VALUES = 2**24
"""The same on other devices, where fewer and larger launches win."""


def foundation(
    updates: Tensor, f: int, *, copies: int | None = None, inner: Inner = "trimmed_mean"
) -> Tensor:
    """Aggregate the updates together with copies of the one farthest from the extremes.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    f : int
        Values cut at either end by the trimmed mean; not looked at by the median.
    copies, inner
        As for :class:`Foundation`.

    Returns
    -------
    Tensor [d]
        The trimmed mean or median of the ``n + copies`` rows.

    Raises
    ------
    InfeasibleError
        If the trimmed mean would have nothing left.
    """
    return _outcome(updates, f, copies, inner).aggregate


@register("foundation", aliases=("foundationfl",), paper="Fang 2025", year=2025, cost="nd log n")
@dataclass(frozen=True, kw_only=True)
class Foundation(Aggregator):
    """Add copies of the update farthest from the extremes, then take a trimmed mean or median.

    An update's distance from the extremes is the smaller of its distances to the coordinate-wise
    maximum and to the coordinate-wise minimum of all updates.

    Parameters
    ----------
    copies : int, optional
        Copies added of the update of largest such distance; ⌊n/2⌋ by default. A port adds 2.
    inner : {"trimmed_mean", "median"}
        What aggregates updates and copies. The trimmed mean cuts f values at either end.

    Notes
    -----
    A single update far away, upwards in some coordinates and downwards in others, is itself the
    farthest from the nearer extreme, and is copied. Its copies are more than f, so the trimmed mean
    follows it: with it this rule is not robust to unbounded rows. The median is, as long as copies and
    outliers are fewer than half of the rows. Scores are the negative distances from the extremes. Needs
    ``n + copies > 2f`` for the trimmed mean. Time O(n d log n), extra memory one block of columns.

    Faithfulness
    ------------
    Release: none read.
    Compared: numbers, in the review.
    Difference: none found.
    On purpose: ⌊n/2⌋ copies by default.
    Elsewhere: one port adds two copies.

    References
    ----------
    .. [1] M. Fang, S. Nabavirazavi, Z. Liu, W. Sun, S. S. Iyengar and H. Yang, "Do We Really Need to
       Design New Byzantine-robust Aggregation Rules?", NDSS 2025.
    """

    copies: Annotated[int, Ge(0)] | None = None
    inner: Inner = "trimmed_mean"

    @property
    def needs(self) -> frozenset[Need]:
        """The assumed f, for the trimmed mean."""
        return frozenset({Need.F}) if self.inner == "trimmed_mean" else frozenset()

    @property
    def robust(self) -> bool:  # type: ignore[override]
        """Only the median bears copies of an outlier."""
        return self.inner == "median"

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """Some values must be left to the trimmed mean."""
        return _infeasible(n_clients, f, self.copies, self.inner)

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the aggregate, and how near each update is to the extremes."""
        f = view.f if self.inner == "trimmed_mean" else 0
        return _outcome(updates, f, self.copies, self.inner), None


def _outcome(updates: Tensor, f: int, copies: int | None, inner: Inner) -> Aggregation:
    n = len(updates)
    if reason := _infeasible(n, f, copies, inner):
        raise InfeasibleError(f"FoundationFL: {reason}.")
    distances = _from_extremes(updates)
    added = distances.argmax().repeat(_n_copies(n, copies))
    rows = torch.cat((torch.arange(n, device=updates.device), added))
    if inner == "median":
        step = sorted_blocks(updates, median_of_sorted, rows)
    else:
        step = sorted_blocks(updates, lambda block: block[f : len(block) - f].mean(0), rows)
    return Aggregation(step, scores=-distances)


def _from_extremes(updates: Tensor) -> Tensor:
    """Return the smaller of each update's distances to maximum and minimum, float64 [n].

    In float64 throughout: beside one huge row all updates are about equally far from the nearer
    extreme, and only the small differences between them say which is the farthest.
    """
    n, d = updates.shape
    squares = updates.new_zeros((2, n), dtype=torch.float64)
    width = max(1, (_BLOCK_VALUES if updates.device.type == "cpu" else _DEVICE_VALUES) // n)
    for start in range(0, d, width):
        block = updates[:, start : start + width].double()
        for place, extreme in enumerate((block.amax(0), block.amin(0))):
            squares[place] += torch.linalg.vector_norm(block - extreme, dim=1).square()
    return squares.amin(0).sqrt()


def _n_copies(n: int, copies: int | None) -> int:
    return n // 2 if copies is None else copies


def _infeasible(n: int, f: int, copies: int | None, inner: Inner) -> str | None:
    rows = n + _n_copies(n, copies)
    if inner == "median" or rows > 2 * f:
        return None
    return f"its trimmed mean cuts f = {f} at either end of n + copies = {rows} rows, leaving none"
