"""Targeted label flipping: one class is learned as another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge

from robustbench_fl.api import Attack, AttackerView, AttackSpec, Poison, register


@register("targeted_label_flip", paper="Tolpegin 2020", year=2020, cost="d")
@dataclass(frozen=True, kw_only=True)
class TargetedLabelFlip(Attack):
    """Train with the source class labelled as the target class, and send what comes out.

    Parameters
    ----------
    source : int
        The class whose labels are changed.
    target : int
        The label it gets.

    Notes
    -----
    Success is the share of the source class's test images that are taken for the target; the
    source class's recall is its per-class accuracy.

    Faithfulness
    ------------
    Release: ``github.com/xyq7/FedREDefense`` at 12189f1, ``train_op_tr_flip``.
    Compared: numbers, in the review; 0 → 2, read.
    Difference: none found.
    On purpose: nothing.

    References
    ----------
    .. [1] V. Tolpegin et al., "Data Poisoning Attacks Against Federated Learning Systems",
       ESORICS 2020, Section 3.
    """

    source: Annotated[int, Ge(0)] = 0
    target: Annotated[int, Ge(0)] = 2

    category: ClassVar[Literal["none", "data", "update", "backdoor"]] = "data"

    def __post_init__(self) -> None:
        """Refuse a flip onto itself."""
        if self.source == self.target:
            raise ValueError(f"source and target are both class {self.source}; choose two classes")

    def infeasible(self, spec: AttackSpec) -> str | None:
        """Both classes must exist."""
        highest = max(self.source, self.target)
        if highest < spec.n_classes:
            return None
        return f"class {highest} does not exist; there are {spec.n_classes} classes from 0"

    def test_flip(self, spec: AttackSpec) -> tuple[int, int]:
        """Return source and target."""
        return self.source, self.target

    def poison(self, view: AttackerView) -> Poison:
        """Return the label map."""
        labels = list(range(view.spec.n_classes))
        labels[self.source] = self.target
        return Poison(label_map=tuple(labels))
