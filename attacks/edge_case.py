"""Edge cases: the rarest images of a class are learned as another (Wang et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Interval

from robustbench_fl.api import (
    Attack,
    AttackerView,
    AttackSpec,
    Poison,
    RareImages,
    SampleKind,
    State,
    register,
)
from robustbench_fl.attacks._rows import clipped_rows

if TYPE_CHECKING:
    from torch import Tensor


@register("edge_case", paper="Wang 2020", year=2020, cost="d")
@dataclass(frozen=True, kw_only=True)
class EdgeCase(Attack):
    """Train with the rarest images of one class labelled as another, and send what comes out.

    Nothing is stamped on them: they are inputs from the tail of the distribution, of which honest clients
    have few. Success is measured on the rarest test images of that class.

    Parameters
    ----------
    source : int
        The class whose rarest images are the edge cases.
    target : int
        The class that they are to be taken for.
    rare : float
        Share of the source class's images that is rare, in (0, 1]; ten images at least.
    share : float
        Share of every batch that is edge cases, in (0, 1].
    norm_factor : float, optional
        Radius, in norms of the client's own honest update, of a ball that the training stays in
        (projected gradient descent, with a projection every ten steps); by default there is none.
    scale : float
        Factor of the update that is sent: more than 1 for model replacement.

    Notes
    -----
    The edge cases are made from the data set itself: how rare an image is, its density under a Gaussian
    of the class's training images says (twenty principal components). The attackers have copies of
    them, whoever holds the originals: honest clients keep theirs with the right label, as in
    the paper's experiments in which some do.

    Faithfulness
    ------------
    Release: ``github.com/ksreenivasan/OOD_Federated_Learning`` at 9096969, the authors' own.
    Compared: mixture (100 edge cases to 400 other images on CIFAR-10), projection and scaling, read.
    Difference: not measured.
    On purpose: the paper collects edge cases elsewhere (Southwest aeroplanes as trucks, ARDIS sevens as ones)
        and calls an image rare by its density under a mixture of Gaussians of a network's features;
        here they are the set's own and the density is one of pixels. The attackers do as much
        local work as others.

    References
    ----------
    .. [1] H. Wang et al., "Attack of the Tails: Yes, You Really Can Backdoor Federated Learning",
       NeurIPS 2020, Sections 3 and 4.
    """

    source: Annotated[int, Ge(0)] = 1
    target: Annotated[int, Ge(0)] = 0
    rare: Annotated[float, Interval(gt=0, le=1)] = 0.05
    share: Annotated[float, Interval(gt=0, le=1)] = 0.2
    norm_factor: Annotated[float, Gt(0)] | None = None
    scale: Annotated[float, Gt(0)] = 1.0

    category: ClassVar[Literal["none", "data", "update", "backdoor"]] = "backdoor"
    takes: ClassVar[frozenset[SampleKind]] = frozenset({"images"})
    strengths: ClassVar[tuple[str, ...]] = (
        "edge_case",
        "edge_case(scale=3)",
        "edge_case(scale=10)",
        "edge_case(norm_factor=1)",
        "edge_case(norm_factor=1, scale=3)",
    )
    strength_parameter: ClassVar[str] = "scale"

    def __post_init__(self) -> None:
        """Refuse a class that is to be taken for itself."""
        if self.source == self.target:
            raise ValueError(f"source and target are both class {self.source}; choose two classes")

    def infeasible(self, spec: AttackSpec) -> str | None:
        """Both classes must exist."""
        highest = max(self.source, self.target)
        if highest < spec.n_classes:
            return None
        return f"class {highest} does not exist; there are {spec.n_classes} classes from 0"

    def test_trigger(self, spec: AttackSpec) -> tuple[RareImages, int]:
        """Return the edge cases and the target class."""
        return RareImages(source=self.source, share=self.rare), self.target

    def poison(self, view: AttackerView) -> Poison | None:
        """Return the mixture, or honest training first where its norm is asked for."""
        return None if self.norm_factor is not None else self._mixture(None)

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the scaled updates of the poisoned training."""
        rows: Tensor = view.own
        if self.norm_factor is not None:
            radii = self.norm_factor * rows.norm(dim=1)
            rows = clipped_rows(view.train(self._mixture(radii)), radii)
        return self.scale * rows, state

    def _mixture(self, radii: Tensor | None) -> Poison:
        return Poison(
            triggers=(RareImages(source=self.source, share=self.rare),),
            target=self.target,
            share=self.share,
            radius=radii,
            project_every=10,
        )
