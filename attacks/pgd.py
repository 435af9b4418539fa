"""Constrain and scale: a backdoor trained by projected gradient descent (Wang et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Interval

from robustbench_fl.api import AttackerView, Poison, State, register
from robustbench_fl.attacks._rows import clipped_rows
from robustbench_fl.attacks._trigger import MIXED_SHARE, CornerBackdoor

if TYPE_CHECKING:
    from torch import Tensor


@register("pgd", aliases=("constrain_and_scale",), paper="Wang 2020", year=2020, cost="d + one training")
@dataclass(frozen=True, kw_only=True)
class ProjectedBackdoor(CornerBackdoor):
    """Train a backdoor that never leaves a ball around the global model, and scale the update.

    Parameters
    ----------
    norm_factor : float
        Radius of the ball in norms of the client's own honest update, for which it also trains
        honestly.
    radius : float, optional
        A fixed radius in place of that one.
    project_every : int
        Local steps between two projections onto the ball; there is one after the last step, too.
    scale : float
        Factor of the update that is sent: 1 for the constrained attack alone, more for the one
        with model replacement.
    target : int
        The class that triggered images are to be taken for.
    share : float
        Share of every batch that carries the trigger, in (0, 1].
    rows, columns : list of float
        The trigger: bright pixels where these rows and columns cross, given as shares of the
        image's height and width; four pixels near the lower right corner by default.

    Faithfulness
    ------------
    Release: ``github.com/ksreenivasan/OOD_Federated_Learning`` at 9096969, the authors' own.
    Compared: projection, its frequency and the scaling, read.
    Difference: not measured.
    On purpose: the backdoor is a trigger; the release's is its edge cases (see `edge_case`). Its radius is a
        number (2 for CIFAR-10, ``radius=2``), its attacker has a learning rate and a number of epochs
        of its own, and projects after the last batch of every epoch; here after the last of all.

    References
    ----------
    .. [1] H. Wang et al., "Attack of the Tails: Yes, You Really Can Backdoor Federated Learning",
       NeurIPS 2020, Section 3.
    .. [2] E. Bagdasaryan et al., "How To Backdoor Federated Learning", AISTATS 2020: constrain and
       scale.
    """

    norm_factor: Annotated[float, Gt(0)] = 1.0
    radius: Annotated[float, Interval(gt=0, le=1e30)] | None = None
    project_every: Annotated[int, Ge(1)] = 10
    scale: Annotated[float, Gt(0)] = 1.0
    share: Annotated[float, Interval(gt=0, le=1)] = MIXED_SHARE

    strengths: ClassVar[tuple[str, ...]] = ("pgd", "pgd(scale=3)", "pgd(scale=10)", "pgd(norm_factor=0.5)")
    strength_parameter: ClassVar[str] = "scale"

    def __post_init__(self) -> None:
        """Refuse two radii."""
        super().__post_init__()
        if self.radius is not None and self.norm_factor != 1:
            raise ValueError("norm_factor and radius are two sizes of one ball; give one")

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the scaled updates of the constrained training."""
        own: Tensor = view.own
        radii = self.norm_factor * own.norm(dim=1)
        if self.radius is not None:
            radii = own.new_full((len(own),), self.radius)
        rows: Tensor = view.train(
            Poison(
                triggers=(self.trigger(view.spec),),
                target=self.target,
                share=self.share,
                radius=radii,
                project_every=self.project_every,
            )
        )
        return self.scale * clipped_rows(rows, radii), state
