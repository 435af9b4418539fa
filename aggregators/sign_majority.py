"""Majority vote of signs (Bernstein et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Gt

from robustbench_fl.aggregators._rows import middle, row_norms
from robustbench_fl.aggregators._signs import sign_sums
from robustbench_fl.api import Aggregation, Aggregator, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


def sign_majority(updates: Tensor, step: float | None = None) -> Tensor:
    """Step equally far in every coordinate, in the direction of most signs.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    step : float, optional
        Length of the step in each coordinate; by default the median norm of the updates over √d.

    Returns
    -------
    Tensor [d]
        `step`, its negative, or zero where as many values are positive as negative.
    """
    if step is None:
        step = float(middle(row_norms(updates))) / sqrt(updates.shape[1])
    return sign_sums(updates).sign_().mul_(step)


@register("sign_majority", aliases=("signsgd",), paper="Bernstein 2019", year=2019, cost="nd")
@dataclass(frozen=True, kw_only=True)
class SignMajority(Aggregator):
    """Step equally far in every coordinate, in the direction of most signs.

    Parameters
    ----------
    step : float, optional
        Length of the step in each coordinate, in the unit of the updates. By default the median
        norm of the updates over √d, with which the whole step is as long as a usual update.

    Notes
    -----
    In the paper clients send signs of gradients and the step is the learning rate; here whole
    updates arrive, so that a step of their size must be found. A tie gives zero. Time O(n d), extra
    memory one block of columns. The declared facts hold for the default: with a fixed step the
    aggregate does not scale with the updates.

    Faithfulness
    ------------
    Release: none read.
    Compared: numbers, in the review.
    Difference: none found.
    On purpose: whole updates are voted on, so a step length is found from them; the paper sends signs of
        gradients.

    References
    ----------
    .. [1] J. Bernstein, J. Zhao, K. Azizzadenesheli and A. Anandkumar, "signSGD with Majority Vote
       is Communication Efficient and Fault Tolerant", ICLR 2019, Algorithm 1.
    """

    step: Annotated[float, Gt(0)] | None = None

    translation: ClassVar[bool] = False

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the step."""
        return Aggregation(sign_majority(updates, self.step)), None
