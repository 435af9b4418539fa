"""Sign flipping: send the opposite of what training found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Gt

from robustbench_fl.api import AttackerView, Knowledge, State, register
from robustbench_fl.attacks._projection import CraftedAttack
from robustbench_fl.attacks._statistics import column_moments, known_rows, repeated

if TYPE_CHECKING:
    from torch import Tensor


@register("sign_flip", paper="Li 2019", year=2019, cost="d")
@dataclass(frozen=True, kw_only=True)
class SignFlip(CraftedAttack):
    """Send the negative of an honest update.

    Parameters
    ----------
    scale : float
        Factor of the negated update.
    of : {"own", "mean"}
        Whose update is negated: each client's own, or the mean of all honest clients.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Notes
    -----
    With ``of="mean"`` and fewer than two honest clients the malicious ones train honestly.

    Faithfulness
    ------------
    Release: ``github.com/JianXu95/SignGuard`` at e1fcafc, ``signflip_attack``, of other authors.
    Compared: the formula, read.
    Difference: none.
    On purpose: the update is negated; the paper's malicious workers send −4 times their model
        (``scale=4`` has the factor).

    References
    ----------
    .. [1] L. Li, W. Xu, T. Chen, G. B. Giannakis and Q. Ling, "RSA: Byzantine-Robust Stochastic
       Aggregation Methods for Distributed Learning from Heterogeneous Datasets", AAAI 2019,
       experiments.
    """

    scale: Annotated[float, Gt(0)] = 1.0
    of: Literal["own", "mean"] = "own"

    family: ClassVar[str] = "sign"
    strengths: ClassVar[tuple[str, ...]] = (
        "sign_flip",
        "sign_flip(scale=4)",
        "sign_flip(scale=10)",
        "sign_flip(of=mean)",
        "sign_flip(scale=4, of=mean)",
        "sign_flip(scale=10, of=mean)",
    )
    strength_parameter: ClassVar[str] = "scale"

    @property
    def knowledge(self) -> Knowledge:
        """Own data, or all honest updates for their mean."""
        return Knowledge.OWN if self.of == "own" else Knowledge.ALL

    def sent(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the negated updates."""
        own: Tensor = view.own
        if self.of == "own":
            return -self.scale * own, state
        rows = known_rows(view)
        if rows is None:
            return own, state
        return repeated(-self.scale * column_moments(rows)[0], view), state
