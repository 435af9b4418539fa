"""Label flipping: honest training on wrong labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from robustbench_fl.api import Attack, AttackerView, Poison, register


def flipped_labels(n_classes: int, map: Literal["next", "mirror"] = "next") -> tuple[int, ...]:
    """Return the label that each class is learned as.

    Parameters
    ----------
    n_classes : int
        Number of classes C.
    map : {"next", "mirror"}
        y → (y + 1) mod C, or y → C − 1 − y.

    Examples
    --------
    >>> flipped_labels(4), flipped_labels(4, "mirror")
    ((1, 2, 3, 0), (3, 2, 1, 0))
    """
    if map == "next":
        return tuple((label + 1) % n_classes for label in range(n_classes))
    return tuple(n_classes - 1 - label for label in range(n_classes))


@register("label_flip", aliases=("label_flipping",), paper="Fang 2020", year=2020, cost="d")
@dataclass(frozen=True, kw_only=True)
class LabelFlip(Attack):
    """Train on flipped labels and send what comes out.

    Parameters
    ----------
    map : {"next", "mirror"}
        Class y is learned as (y + 1) mod C, or as C − 1 − y (which leaves the middle one of an
        odd number of classes as it is).

    Faithfulness
    ------------
    Release: ``github.com/xyq7/FedREDefense`` at 12189f1, ``train_op_flip``.
    Compared: numbers, in the review; the map, read.
    Difference: none found.
    On purpose: nothing; the paper's map is ``map=mirror``.

    References
    ----------
    .. [1] M. Fang, X. Cao, J. Jia and N. Z. Gong, "Local Model Poisoning Attacks to
       Byzantine-Robust Federated Learning", USENIX Security 2020: the label flipping attack that
       it compares with is ``map="mirror"``.
    """

    map: Literal["next", "mirror"] = "next"

    category: ClassVar[Literal["none", "data", "update", "backdoor"]] = "data"

    strengths: ClassVar[tuple[str, ...]] = (
        "label_flip",
        "label_flip(map=mirror)",
    )

    def poison(self, view: AttackerView) -> Poison:
        """Return the label map."""
        return Poison(label_map=flipped_labels(view.spec.n_classes, self.map))
