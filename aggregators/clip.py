"""Static clipping of the updates' norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt

from robustbench_fl.aggregators._rows import row_norms, shrinking
from robustbench_fl.api import PreAggregator, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


def clip(updates: Tensor, c: float) -> Tensor:
    """Return the factors that scale each update down to at most `c`.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    c : float
        Largest norm, above zero.

    Returns
    -------
    Tensor [n]
        ``min(1, c / ‖u_i‖)``; ``clip(updates, c)[:, None] * updates`` are the clipped updates.
    """
    return shrinking(row_norms(updates), c).to(updates.dtype)


@register("clip", aliases=("clipping", "static_clipping"), paper="Allouah 2025", year=2025, cost="nd")
@dataclass(frozen=True, kw_only=True)
class Clip(PreAggregator):
    """Scale each update down to a norm of at most `c`.

    Parameters
    ----------
    c : float
        Largest norm, in the unit of the updates.

    Notes
    -----
    The bound is fixed, so what it does depends on model and learning rate; ``arc`` and
    ``norm_bound`` follow the updates.

    Faithfulness
    ------------
    Release: ``github.com/LPD-EPFL/byzfl`` at 69bd1ac, the authors' own.
    Compared: numbers, in the review; before the mean with ByzFL, numbers, n = 10 to 60, d = 10 to 10,000.
    Difference: 4e-7 of the largest entry.
    On purpose: nothing.

    References
    ----------
    .. [1] Y. Allouah, R. Guerraoui, N. Gupta, A. Jellouli, G. Rizk and J. Stephan, "Adaptive
       Gradient Clipping for Robust Federated Learning", ICLR 2025, which compares ``arc`` with it.
    """

    c: Annotated[float, Gt(0)] = 2.0

    tuning: ClassVar = {"c": (0.5, 2.0, 8.0)}
    """ByzFL's 2, and four times less and more."""

    def mixing(self, updates: Tensor, view: ServerView, state: None) -> tuple[Tensor, None]:
        """Return each update's factor."""
        return clip(updates, self.c), None
