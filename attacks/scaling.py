"""Model replacement: a scaled backdoor update (Bagdasaryan et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Gt

from robustbench_fl.api import AttackerView, Poison, State, register
from robustbench_fl.attacks._trigger import BackdoorAttack

if TYPE_CHECKING:
    from torch import Tensor


@register("scaling", aliases=("model_replacement",), paper="Bagdasaryan 2020", year=2020, cost="d")
@dataclass(frozen=True, kw_only=True)
class Scaling(BackdoorAttack):
    """Train on triggered images of a target class in every odd pass, and scale the update.

    Parameters
    ----------
    scale : float
        Factor γ: w + γ(w_b − w) is submitted in place of the backdoored model w_b.
    target : int
        The class that triggered images are to be taken for.
    share : float
        Share of the samples of a poisoned pass that carry the trigger, in (0, 1].
    rows, columns : list of float
        The trigger: bright pixels where these rows and columns cross, given as shares of the
        image's height and width; four pixels near the lower right corner by default.

    Notes
    -----
    Odd local passes over the data see every image triggered, even ones none, as in the release
    of FedREDefense. With one local epoch there is no even pass: all training is on triggered
    images, and the clean accuracy falls too, unless `share` leaves some of them clean.

    References
    ----------
    .. [1] E. Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020, Section 3.
    """

    scale: Annotated[float, Gt(0)] = 3.0

    strengths: ClassVar[tuple[str, ...]] = (
        "scaling(scale=1)",
        "scaling",
        "scaling(scale=10)",
    )
    strength_parameter: ClassVar[str] = "scale"

    def poison(self, view: AttackerView) -> Poison:
        """Return the trigger for odd passes."""
        triggers = (self.trigger(view.spec),)
        return Poison(triggers=triggers, target=self.target, share=self.share, passes="odd")

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the scaled updates of the poisoned training."""
        own: Tensor = view.own
        return self.scale * own, state
