"""BadNets: a part of the training images carries a trigger and the target label (Gu et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Interval

from robustbench_fl.api import AttackerView, Poison, register
from robustbench_fl.attacks._trigger import CornerBackdoor


@register("badnets", paper="Gu 2017", year=2017, cost="d")
@dataclass(frozen=True, kw_only=True)
class BadNets(CornerBackdoor):
    """Train with a trigger on a part of every batch, and send what comes out.

    The plain backdoor by data alone: nothing is scaled, constrained or masked.

    Parameters
    ----------
    share : float
        Share of every batch that carries the trigger and the target label, in (0, 1].
    target : int
        The class that triggered images are to be taken for.
    rows, columns : list of float
        The trigger: bright pixels where these rows and columns cross, given as shares of the
        image's height and width; four pixels near the lower right corner by default.

    Faithfulness
    ------------
    Release: ``github.com/Kooscii/BadNets``, an implementation of the paper, was not read.
    Compared: the paper's description: one target for all classes, a pattern of bright pixels in the
        lower right corner, 10 % of the training set poisoned on MNIST.
    Difference: not measured.
    On purpose: poisoned images take the place of clean ones in a batch, while the paper adds copies.

    References
    ----------
    .. [1] T. Gu, B. Dolan-Gavitt, S. Garg, "BadNets: Identifying Vulnerabilities in the Machine
       Learning Model Supply Chain", arXiv:1708.06733, 2017, Section 4.
    """

    share: Annotated[float, Interval(gt=0, le=1)] = 0.1

    strengths: ClassVar[tuple[str, ...]] = ("badnets", "badnets(share=0.25)", "badnets(share=0.5)")
    strength_parameter: ClassVar[str] = "share"

    def poison(self, view: AttackerView) -> Poison:
        """Return the trigger for a share of every batch."""
        return Poison(triggers=(self.trigger(view.spec),), target=self.target, share=self.share)
