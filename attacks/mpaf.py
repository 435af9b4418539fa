"""Fake clients that drag the model towards another one (Cao and Gong, 2022)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Gt

from robustbench_fl.api import (
    AttackerView,
    AttackSpec,
    Knowledge,
    LayerShapes,
    State,
    register,
    torch_generator,
)
from robustbench_fl.attacks._projection import CraftedAttack
from robustbench_fl.attacks._statistics import repeated

if TYPE_CHECKING:
    from torch import Tensor


def shuffled_model(params: Tensor, layer_shapes: LayerShapes, generator: torch.Generator) -> Tensor:
    """Return a model whose tensors hold the entries of `params` in random order.

    The entries of a tensor are initialised independently and alike, so this is another draw of
    the same initialisation, whatever that is.

    Parameters
    ----------
    params : Tensor [d]
        An initial model.
    layer_shapes : tuple of (str, tuple of int)
        Names and shapes of its tensors in flattening order.
    generator : torch.Generator
        On the CPU.
    """
    sizes = [math.prod(shape) for _, shape in layer_shapes]
    parts = torch.split(params, sizes)
    orders = [torch.randperm(size, generator=generator).to(params.device) for size in sizes]
    return torch.cat([part[order] for part, order in zip(parts, orders, strict=True)])


@dataclass(frozen=True, kw_only=True)
class MpafState(State):
    """The random model to be dragged towards, once it is drawn."""

    target: Tensor | None = None


@register("mpaf", paper="Cao 2022", year=2022, cost="d")
@dataclass(frozen=True, kw_only=True)
class Mpaf(CraftedAttack):
    """Send a multiple of the way from the global model to a bad one.

    Parameters
    ----------
    scale : float
        Factor λ of λ(w_target − w).
    target : {"initial", "random"}
        Towards the initial model (FedREDefense's form; exactly zero in the first round) or
        towards a random one, drawn like it in the first round of the attack and kept. The
        paper has a random one with a large λ, such as 1e6.
    projected : bool
        Whether the class sums of the last layer's update are removed from what is sent.

    Notes
    -----
    The clients are fake: they have no data and see the global model only.

    Faithfulness
    ------------
    Release: ``github.com/xyq7/FedREDefense`` at 12189f1, ``Client_MPAF``; the authors' own was not read.
    Compared: numbers, in the review; formula, λ = 3 and target, read.
    Difference: none found.
    On purpose: the default is FedREDefense's form; the paper's is ``mpaf(target=random, scale=1e6)``. The
        random model is the initial one with the entries of each tensor shuffled.

    References
    ----------
    .. [1] X. Cao, N. Gong, "MPAF: Model Poisoning Attacks to Federated Learning based on Fake
       Clients", CVPR Workshops 2022, Section 4.
    """

    scale: Annotated[float, Gt(0)] = 3.0
    target: Literal["initial", "random"] = "initial"

    strengths: ClassVar[tuple[str, ...]] = (
        "mpaf(scale=0.3)",
        "mpaf(scale=1)",
        "mpaf",
        "mpaf(scale=10)",
        "mpaf(scale=1, target=random)",
        "mpaf(target=random)",
        "mpaf(scale=10, target=random)",
        "mpaf(scale=1000000, target=random)",
        "mpaf(target=random, projected=true)",
    )
    strength_parameter: ClassVar[str] = "scale"

    @property
    def knowledge(self) -> Knowledge:
        """Nothing but the global model."""
        return Knowledge.NOTHING

    def init_state(self, spec: AttackSpec) -> MpafState | None:
        """Return room for the random target."""
        return MpafState() if self.target == "random" else None

    def sent(self, view: AttackerView, state: Any) -> tuple[Tensor, State | None]:
        """Return the same step for every malicious client."""
        target = view.initial_params
        if self.target == "random":
            if state.target is None:
                generator = torch_generator(view.rng)
                drawn = shuffled_model(view.initial_params, view.spec.layer_shapes, generator)
                state = replace(state, target=drawn)
            target = state.target
        return repeated(self.scale * (target - view.params), view), state
