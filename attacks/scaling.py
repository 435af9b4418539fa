"""Model replacement: a scaled backdoor update (Bagdasaryan et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Gt, Interval

from robustbench_fl.api import AttackerView, Poison, State, register
from robustbench_fl.attacks._trigger import CornerBackdoor, Schedule, scheduled

if TYPE_CHECKING:
    from torch import Tensor


@register("scaling", aliases=("model_replacement",), paper="Bagdasaryan 2020", year=2020, version=2, cost="d")
@dataclass(frozen=True, kw_only=True)
class Scaling(CornerBackdoor):
    """Train on triggered images of a target class beside clean ones, and scale the update.

    Parameters
    ----------
    scale : float
        Factor γ: w + γ(w_b − w) is submitted in place of the backdoored model w_b.
    target : int
        The class that triggered images are to be taken for.
    schedule : {"double", "mixed"}
        An honest client's local work twice, odd passes over the data triggered and even ones clean;
        or that work once, with some triggered images in every batch.
    share : float, optional
        Share of a poisoned batch that carries the trigger, in (0, 1]: by default all of it, or 20
        of 64 where batches are mixed.
    rows, columns : list of float
        The trigger: bright pixels where these rows and columns cross, given as shares of the
        image's height and width; four pixels near the lower right corner by default.

    Notes
    -----
    Version 1 did an honest client's passes only: with one local epoch nothing was clean, and the
    accuracy fell for that reason.

    Faithfulness
    ------------
    Release: ``github.com/xyq7/FedREDefense`` at 12189f1, ``train_op_backdoor``; the paper's authors' own
        was not read.
    Compared: schedule, γ = 3 and target, read.
    Difference: not measured.
    On purpose: the four pixels lie at shares of the image's size and are set in every channel; there they
        form a diagonal cross near the lower right corner, in the first channel.

    References
    ----------
    .. [1] E. Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020, Section 3.
    """

    scale: Annotated[float, Gt(0)] = 3.0
    schedule: Schedule = "double"
    share: Annotated[float, Interval(gt=0, le=1)] | None = None

    strengths: ClassVar[tuple[str, ...]] = (
        "scaling(scale=1)",
        "scaling",
        "scaling(scale=10)",
        "scaling(scale=1, schedule=mixed)",
        "scaling(schedule=mixed)",
        "scaling(scale=10, schedule=mixed)",
    )
    strength_parameter: ClassVar[str] = "scale"

    def poison(self, view: AttackerView) -> Poison:
        """Return the trigger with its schedule."""
        return scheduled((self.trigger(view.spec),), self.target, self.schedule, self.share)

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the scaled updates of the poisoned training."""
        own: Tensor = view.own
        return self.scale * own, state
