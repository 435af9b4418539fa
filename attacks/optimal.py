"""The strongest ALIE or IPM against the rule at hand, by line search through the rule itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge

from robustbench_fl.api import Attack, AttackerView, Knowledge, State, register
from robustbench_fl.attacks._statistics import column_moments, known_rows, repeated

if TYPE_CHECKING:
    from torch import Tensor

FIRST_STEP = 10.0
CONTRACTION = 0.8


def line_search(value: Callable[[float], float], evaluations: int) -> tuple[float, float]:
    """Maximise a function of one number x ≥ 0 with a fixed budget.

    From x = 0 a step of 10 is taken and doubled as long as the value grows. Then points below
    and above the best one are tried in turn, the step shrinking by 0.8 each time; a point
    below 0 is replaced by one above.

    Parameters
    ----------
    value : callable
        What is maximised; a value that is not finite counts as the worst.
    evaluations : int
        Calls of `value`, exactly.

    Returns
    -------
    best, best_value : float
        Where the largest value seen was, and that value.

    Examples
    --------
    >>> best, _ = line_search(lambda x: -abs(x - 30), 4)
    >>> best
    30.0
    """

    def measured(x: float) -> float:
        y = value(x)
        return y if math.isfinite(y) else -math.inf

    best, best_value, step = 0.0, measured(0.0), FIRST_STEP
    left = evaluations - 1
    while left > 0:
        x, left = best + step, left - 1
        y = measured(x)
        if y <= best_value:
            break
        best, best_value = x, y
        step *= 2
    # What lies around the best point: the failed step above, half of it below.
    downwards = True
    while left > 0:
        step *= CONTRACTION
        x = best - step / 2 if downwards and best > step / 2 else best + step
        y, left = measured(x), left - 1
        if y > best_value:
            best, best_value = x, y
        downwards = not downwards
    return best, best_value


@register("optimal", paper="Shejwalkar 2021", year=2021, cost="16–20 aggregations")
@dataclass(frozen=True, kw_only=True)
class Optimal(Attack):
    """Send the shifted mean that drives the server's rule farthest from the honest mean.

    The attacker simulates the rule, with its pre-aggregators, state and randomness, for
    different strengths x and keeps the one with the largest ‖aggregate − x̄‖.

    Parameters
    ----------
    direction : {"alie", "ipm"}
        What is sent: x̄ − xσ, or −x·x̄.
    evaluations : int
        Simulated aggregations a round, at least 2.

    Notes
    -----
    Every evaluation meets the same state and the same random stream, so that values are
    comparable; the server's real stream stays unknown, while its root data, where the rule has some,
    are in the simulation. All malicious clients send the same.
    With fewer than two honest clients in the round the malicious ones train honestly.

    Faithfulness
    ------------
    Release: none was read.
    Compared: numbers, in the review.
    Difference: none found.
    On purpose: every evaluation meets the same random stream.

    References
    ----------
    .. [1] V. Shejwalkar, A. Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning
       Attacks and Defenses for Federated Learning", NDSS 2021, Section IV.
    .. [2] Y. Allouah et al., "Fixing by Mixing: A Recipe for Optimal Byzantine ML under
       Heterogeneity", AISTATS 2023, experiments.
    """

    direction: Literal["alie", "ipm"] = "alie"
    evaluations: Annotated[int, Ge(2)] = 16

    knows_defence: ClassVar[bool] = True
    adaptive: ClassVar[bool] = True

    strengths: ClassVar[tuple[str, ...]] = (
        "optimal",
        "optimal(direction=ipm)",
    )

    @property
    def knowledge(self) -> Knowledge:
        """All honest updates, and the rule."""
        return Knowledge.ALL

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the best rows found."""
        rows = known_rows(view)
        if rows is None:
            own: Tensor = view.own
            return own, state
        mean, std = column_moments(rows)
        start, direction = (mean, -std) if self.direction == "alie" else (torch.zeros_like(mean), -mean)
        damage = view.defence.distance_along(start, direction, mean, len(view.client_ids))
        best, _ = line_search(damage, self.evaluations)
        return repeated(start + best * direction, view), state
