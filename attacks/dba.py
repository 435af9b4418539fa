"""Distributed backdoor: each malicious client knows a part of the trigger (Xie et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Gt, Interval

from robustbench_fl.api import AttackerView, AttackSpec, Poison, State, Trigger, register
from robustbench_fl.attacks._trigger import BackdoorAttack, Schedule, pixels_at, scheduled

if TYPE_CHECKING:
    from torch import Tensor


def bars(height: int, width: int) -> tuple[Trigger, ...]:
    """Return four horizontal bars in the upper left corner, two rows of two.

    Parameters
    ----------
    height, width : int
        Size of the image.

    Returns
    -------
    tuple of 4 Trigger
        1×6 pixels, 3 apart, in rows 0 and 4, from a width of 32 on; 1×4 pixels, 2 apart, in rows 0
        and 3, from 16 on; on smaller images 1×2 pixels, 1 apart, in rows 0 and 2.

    Examples
    --------
    >>> [part.pixels for part in bars(8, 8)]
    [((0, 0), (0, 1)), ((0, 3), (0, 4)), ((2, 0), (2, 1)), ((2, 3), (2, 4))]
    """
    length, gap = (6, 3) if width >= 32 else (4, 2) if width >= 16 else (2, 1)
    return tuple(
        Trigger(pixels=tuple((row, left + i) for i in range(length)))
        for row in (0, gap + 1)
        for left in (0, length + gap)
    )


@register("dba", aliases=("distributed_backdoor",), paper="Xie 2020", year=2020, version=2, cost="d")
@dataclass(frozen=True, kw_only=True)
class DistributedBackdoor(BackdoorAttack):
    """Train on parts of a trigger, one a client, and scale the update; all of it is used at test.

    Parameters
    ----------
    scale : float
        Factor γ: w + γ(w_b − w) is submitted in place of the backdoored model w_b.
    pattern : {"bars", "pixels"}
        Four bars of pixels in the upper left corner, as in DBA's release; or four single pixels
        near the lower right one. The malicious clients of a round take the four parts in turn.
    target : int
        The class that triggered images are to be taken for.
    schedule : {"double", "mixed"}
        An honest client's local work twice, odd passes over the data triggered and even ones clean;
        or that work once, with some triggered images in every batch.
    share : float, optional
        Share of a poisoned batch that carries the trigger, in (0, 1]: by default all of it, or 20
        of 64 where batches are mixed.

    Notes
    -----
    Version 1 did an honest client's passes only: with one local epoch nothing was clean, and the
    accuracy fell for that reason.

    Faithfulness
    ------------
    Release: ``github.com/AI-secure/DBA`` at 3cabf7e, the authors' own; ``github.com/xyq7/FedREDefense`` at
        12189f1, ``train_op_dba``.
    Compared: trigger with the authors' MNIST and CIFAR-10 settings; schedule, γ = 3 and target with
        FedREDefense's, read.
    Difference: not measured.
    On purpose: the authors train with 20 triggered images of 64 on MNIST (``schedule=mixed``) and 5 of 64
        on CIFAR-10 (``share=0.078125``), for several times as many epochs as an honest client, and
        scale a single shot by 100; smaller images have bars of two pixels.

    References
    ----------
    .. [1] C. Xie, K. Huang, P.-Y. Chen, B. Li, "DBA: Distributed Backdoor Attacks against
       Federated Learning", ICLR 2020, Section 3.
    """

    scale: Annotated[float, Gt(0)] = 3.0
    pattern: Literal["bars", "pixels"] = "bars"
    schedule: Schedule = "double"
    share: Annotated[float, Interval(gt=0, le=1)] | None = None

    strengths: ClassVar[tuple[str, ...]] = (
        "dba(scale=1)",
        "dba",
        "dba(scale=10)",
        "dba(scale=1, schedule=mixed)",
        "dba(schedule=mixed)",
        "dba(scale=10, schedule=mixed)",
    )
    strength_parameter: ClassVar[str] = "scale"

    def parts(self, spec: AttackSpec) -> tuple[Trigger, ...]:
        """Return the four parts of the trigger on the images of this task."""
        _, height, width = spec.image_shape
        if self.pattern == "bars":
            return bars(height, width)
        return tuple(Trigger(pixels=(at,)) for at in pixels_at(height, width, (0.75, 0.9), (0.75, 0.9)))

    def trigger(self, spec: AttackSpec) -> Trigger:
        """Return all parts as one."""
        return Trigger(pixels=tuple(pixel for part in self.parts(spec) for pixel in part.pixels))

    def poison(self, view: AttackerView) -> Poison:
        """Return the parts with their schedule."""
        return scheduled(self.parts(view.spec), self.target, self.schedule, self.share)

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the scaled updates of the poisoned training."""
        own: Tensor = view.own
        return self.scale * own, state
