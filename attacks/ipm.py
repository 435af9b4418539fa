"""Inner-product manipulation (Xie et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Gt

from robustbench_fl.api import AttackerView, Knowledge, State, register
from robustbench_fl.attacks._projection import CraftedAttack
from robustbench_fl.attacks._statistics import column_moments, known_rows, repeated

if TYPE_CHECKING:
    from torch import Tensor


@register("ipm", paper="Xie 2020", year=2020, cost="hd")
@dataclass(frozen=True, kw_only=True)
class InnerProductManipulation(CraftedAttack):
    """Send −ε times the mean of the honest updates.

    Parameters
    ----------
    epsilon : float
        ε. Small values hide among the honest updates (0.1 and 0.5 are published), large ones
        (2, 100) turn an average round.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Notes
    -----
    With fewer than two honest clients in the round the malicious ones train honestly.

    Faithfulness
    ------------
    Release: none was read.
    Compared: numbers, in the review.
    Difference: none found.
    On purpose: updates in place of gradients, which changes nothing.

    References
    ----------
    .. [1] C. Xie, O. Koyejo, I. Gupta, "Fall of Empires: Breaking Byzantine-tolerant SGD by
       Inner Product Manipulation", UAI 2020, Section 3.
    """

    epsilon: Annotated[float, Gt(0)] = 0.5

    strengths: ClassVar[tuple[str, ...]] = (
        "ipm(epsilon=0.1)",
        "ipm",
        "ipm(epsilon=2)",
        "ipm(epsilon=10)",
        "ipm(epsilon=100)",
    )
    strength_parameter: ClassVar[str] = "epsilon"

    @property
    def knowledge(self) -> Knowledge:
        """All honest updates."""
        return Knowledge.ALL

    def sent(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the negated mean once for every malicious client."""
        rows = known_rows(view)
        if rows is None:
            own: Tensor = view.own
            return own, state
        return repeated(-self.epsilon * column_moments(rows)[0], view), state
