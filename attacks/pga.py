"""Projected gradient ascent: local training that raises the loss, within a norm (Shejwalkar et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from annotated_types import Gt

from robustbench_fl.api import Attack, AttackerView, Knowledge, Poison, State, register
from robustbench_fl.attacks._statistics import known_rows

if TYPE_CHECKING:
    from torch import Tensor


def of_length(rows: Tensor, length: Tensor) -> Tensor:
    """Return the rows [m, d] at the given `length` [], zero rows as they are.

    Examples
    --------
    >>> of_length(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor(10.0)).tolist()
    [[6.0, 8.0], [0.0, 0.0]]
    """
    norms = rows.norm(dim=1, keepdim=True)
    scaled: Tensor = rows * (length / norms.clamp(min=torch.finfo(rows.dtype).tiny))
    return scaled


@register("pga", aliases=("gradient_ascent",), paper="Shejwalkar 2022", year=2022, cost="d + one training")
@dataclass(frozen=True, kw_only=True)
class ProjectedGradientAscent(Attack):
    """Follow the gradient upwards in local training and send the result at the honest norm.

    Parameters
    ----------
    norm_factor : float
        Length of what is sent, in mean norms of the colluders' honest updates that are finite.

    Faithfulness
    ------------
    Release: none was read.
    Compared: the paper's description: stochastic gradient ascent on benign data, then the mean norm of
        benign updates.
    Difference: not measured.
    On purpose: the paper goes on to search, for the rule at hand, a direction (the ascent's, its signs or its
        unit vector) and the largest factor with which the rule is hurt; `norm_factor` is a parameter.

    References
    ----------
    .. [1] V. Shejwalkar, A. Houmansadr, P. Kairouz, D. Ramage, "Back to the Drawing Board: A Critical
       Evaluation of Poisoning Attacks on Production Federated Learning", IEEE S&P 2022, Section V.
    """

    norm_factor: Annotated[float, Gt(0)] = 1.0

    strengths: ClassVar[tuple[str, ...]] = (
        "pga(norm_factor=0.5)",
        "pga",
        "pga(norm_factor=3)",
        "pga(norm_factor=10)",
    )
    strength_parameter: ClassVar[str] = "norm_factor"

    @property
    def knowledge(self) -> Knowledge:
        """The colluders' honest updates, for their norm."""
        return Knowledge.COLLUDERS

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the ascended updates at their length."""
        honest = known_rows(view, least=1)
        if honest is None:
            own: Tensor = view.own
            return own, state
        # Every gradient times −1.
        ascended: Tensor = view.train(Poison(gradient_mask=-torch.ones_like(view.params)))
        return of_length(ascended, self.norm_factor * honest.norm(dim=1).mean()), state
