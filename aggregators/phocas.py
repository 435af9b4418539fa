"""Phocas, the mean around the trimmed mean (Xie et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from robustbench_fl.aggregators._columns import sorted_blocks
from robustbench_fl.api import Aggregation, Aggregator, InfeasibleError, Need, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


def phocas(updates: Tensor, f: int) -> Tensor:
    """Average in each coordinate the n − f values nearest to the trimmed mean.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client; no NaN.
    f : int
        Values left out in each coordinate; the trimmed mean cuts as many at either end.

    Returns
    -------
    Tensor [d]
        The aggregate.

    Raises
    ------
    InfeasibleError
        Unless ``n > 2f``.
    """
    n = len(updates)
    if reason := _infeasible(n, f):
        raise InfeasibleError(f"Phocas: {reason}.")
    return sorted_blocks(updates, lambda block: _nearest(block, n - f, f))


@register("phocas", paper="Xie 2018", year=2018, cost="nd log n")
@dataclass(frozen=True, kw_only=True)
class Phocas(Aggregator):
    """Average in each coordinate the n − f values nearest to the f-trimmed mean.

    Notes
    -----
    Needs ``n > 2f``. Of two values equally far from the trimmed mean the smaller one counts as nearer.
    Time O(n d log n), extra memory a few blocks of columns.

    Faithfulness
    ------------
    Release: none read.
    Compared: numbers, with a slow reference of the paper's definition, in the tests.
    Difference: none found.
    On purpose: nothing.

    References
    ----------
    .. [1] C. Xie, O. Koyejo and I. Gupta, "Phocas: Dimensional Byzantine-Resilient Stochastic Gradient
       Descent", arXiv 1805.09682, 2018, Definition 7.
    """

    coordinatewise: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[Need]:
        """The assumed f."""
        return frozenset({Need.F})

    def infeasible(self, n_clients: int, f: int) -> str | None:
        """The trimmed mean must be left something."""
        return _infeasible(n_clients, f)

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean around the trimmed mean."""
        return Aggregation(phocas(updates, view.f)), None


def _nearest(block: Tensor, count: int, f: int) -> Tensor:
    """Return the mean of the `count` values nearest to the trimmed mean of ascending columns."""
    kept = block[f : len(block) - f].double()
    centre = kept.mean(0)
    # Nearest values stand together: the window starts after as many as are farther below than above.
    starts = torch.zeros(block.shape[1], dtype=torch.int64, device=block.device)
    for low in range(len(block) - count):
        # The lowest of the window leaves it when the next above is strictly nearer.
        farther = centre - block[low].double() > block[low + count].double() - centre
        starts += farther & (starts == low)
    rows = starts + torch.arange(count, device=block.device)[:, None]
    return block.gather(0, rows).double().mean(0).to(block.dtype)


def _infeasible(n: int, f: int) -> str | None:
    return None if n > 2 * f else f"it needs n > 2f; n = {n}, f = {f}"
