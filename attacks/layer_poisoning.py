"""Layer poisoning: a backdoor in the few layers that carry it, honest parameters elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Interval

from robustbench_fl.api import AttackerView, Poison, State, register
from robustbench_fl.attacks._critical_layers import critical_layers, success_on
from robustbench_fl.attacks._trigger import CornerBackdoor

if TYPE_CHECKING:
    from torch import Tensor


@register("layer_poisoning", aliases=("lp_attack",), paper="Zhuang 2024", year=2024,
          cost="d + one training + 2·layers forward passes")  # fmt: skip
@dataclass(frozen=True, kw_only=True)
class LayerPoisoning(CornerBackdoor):
    """Send an honest update with the backdoor-critical layers of a poisoned one.

    The client trains honestly and, again from the global model, with triggered images. A layer of the
    poisoned model is critical if the backdoor fails with the honest layer in its place.

    Parameters
    ----------
    threshold : float
        τ: critical layers are added until the backdoor succeeds this often, as a share of the
        poisoned model's success.
    scale : float
        λ: a critical layer's update is λ times the poisoned plus max(0, 1 − λ) times the honest one; only for
        ``mode="poison"``.
    mode : {"poison", "flip"}
        What critical layers send: the poisoned update, or its opposite (layer-wise flipping, an
        attack on accuracy with few layers).
    samples : int
        Images of the own data, at most, on which the success is measured.
    target : int
        The class that triggered images are to be taken for.
    share : float
        Share of every batch that carries the trigger, in (0, 1].
    rows, columns : list of float
        The trigger: bright pixels where these rows and columns cross, given as shares of the
        image's height and width; four pixels near the lower right corner by default.

    Notes
    -----
    A layer is one parameter tensor: weights and biases count apart.

    Faithfulness
    ------------
    Release: ``github.com/zhmzm/Poisoning_Backdoor-critical_Layers_Attack`` at be64cdd, the authors' own,
        ``models/MaliciousUpdate.py`` and ``models/AttackerUtils.py``.
    Compared: both substitutions, τ = 0.8, λ = 1, the crafted model, read.
    Difference: not measured.
    On purpose: the success is measured on the client's own training images, as in the release's local
        form; the release also has a form on the pooled data of all malicious clients, a quarter of
        them held out. Half of every batch is triggered, where the release doubles each batch by a
        triggered copy. Its adaptive form, which simulates the server's rule, is not here.

    References
    ----------
    .. [1] H. Zhuang et al., "Backdoor Federated Learning by Poisoning Backdoor-Critical Layers",
       ICLR 2024, Sections 3 and 4.
    """

    threshold: Annotated[float, Interval(gt=0, le=1)] = 0.8
    scale: Annotated[float, Gt(0)] = 1.0
    mode: Literal["poison", "flip"] = "poison"
    samples: Annotated[int, Ge(1)] = 200
    share: Annotated[float, Interval(gt=0, le=1)] = 0.5

    strengths: ClassVar[tuple[str, ...]] = (
        "layer_poisoning(scale=0.5)",
        "layer_poisoning",
        "layer_poisoning(scale=2)",
        "layer_poisoning(scale=5)",
        "layer_poisoning(mode=flip)",
    )
    strength_parameter: ClassVar[str] = "scale"

    def __post_init__(self) -> None:
        """Refuse a factor that would never be used."""
        super().__post_init__()
        if self.mode == "flip" and self.scale != 1:
            raise ValueError("scale is for mode=poison; flipped layers are sent at their own length")

    def craft(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the mixed updates."""
        honest: Tensor = view.own
        trigger = self.trigger(view.spec)
        poisoned: Tensor = view.train(Poison(triggers=(trigger,), target=self.target, share=self.share))
        rows = honest.clone()
        kept = max(0.0, 1 - self.scale)
        for j, row in enumerate(rows):
            success = success_on(view, j, trigger, self.target, self.samples)
            benign, malicious = (view.model.split(view.params + update[j]) for update in (honest, poisoned))
            chosen = critical_layers(benign, malicious, success, self.threshold)
            parts = zip(view.model.split(row), view.model.split(poisoned[j]), strict=True)
            for i, (own, bad) in enumerate(parts):
                if i in chosen:
                    own.copy_(-bad if self.mode == "flip" else self.scale * bad + kept * own)
        return rows, state
