"""Distributed backdoor: each malicious client knows a part of the trigger (Xie et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Gt

from robustbench_fl.api import AttackerView, Poison, State, Trigger, register
from robustbench_fl.attacks._trigger import BackdoorAttack

if TYPE_CHECKING:
    from torch import Tensor


def trigger_parts(trigger: Trigger, parts: int) -> tuple[Trigger, ...]:
    """Return the pixels of `trigger` in `parts` consecutive groups of nearly equal size.

    Examples
    --------
    >>> [part.pixels for part in trigger_parts(Trigger(pixels=((0, 0), (0, 1), (2, 0))), 2)]
    [((0, 0),), ((0, 1), (2, 0))]
    """
    count = len(trigger.pixels)
    cuts = [count * part // parts for part in range(parts + 1)]
    return tuple(Trigger(pixels=trigger.pixels[low:high]) for low, high in pairwise(cuts))


@register("dba", aliases=("distributed_backdoor",), paper="Xie 2020", year=2020, cost="d")
@dataclass(frozen=True, kw_only=True)
class DistributedBackdoor(BackdoorAttack):
    """Train on parts of a trigger, one a client, and scale the update; all of it is used at test.

    Parameters
    ----------
    scale : float
        Factor γ: w + γ(w_b − w) is submitted in place of the backdoored model w_b.
    parts : int
        Pieces the trigger is split into; the malicious clients of a round take them in turn.
    target : int
        The class that triggered images are to be taken for.
    share : float
        Share of the samples of a poisoned pass that carry the trigger, in (0, 1].
    rows, columns : list of float
        The full trigger: bright pixels where these rows and columns cross, given as shares of
        the image's height and width; four pixels near the lower right corner by default.

    Notes
    -----
    Odd local passes over the data are poisoned, even ones are clean.

    References
    ----------
    .. [1] C. Xie, K. Huang, P.-Y. Chen, B. Li, "DBA: Distributed Backdoor Attacks against
       Federated Learning", ICLR 2020, Section 3.
    """

    scale: Annotated[float, Gt(0)] = 3.0
    parts: Annotated[int, Ge(1)] = 4

    strengths: ClassVar[tuple[str, ...]] = (
        "dba(scale=1)",
        "dba",
        "dba(scale=10)",
    )
    strength_parameter: ClassVar[str] = "scale"

    def __post_init__(self) -> None:
        """Refuse parts without pixels."""
        super().__post_init__()
        pixels = len(self.rows) * len(self.columns)
        if pixels < self.parts:
            raise ValueError(f"a trigger of {pixels} pixels cannot be split into {self.parts} parts")

    def poison(self, view: AttackerView) -> Poison:
        """Return the parts for odd passes."""
        parts = trigger_parts(self.trigger(view.spec), self.parts)
        return Poison(triggers=parts, target=self.target, share=self.share, passes="odd")

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the scaled updates of the poisoned training."""
        own: Tensor = view.own
        return self.scale * own, state
