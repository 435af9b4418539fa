"""Fully connected networks; without hidden layers, multinomial logistic regression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import pydantic
import torch
from annotated_types import Ge

from robustbench_fl.api import ImageShape, Model, ModelFamily, SampleKind, register

if TYPE_CHECKING:
    from torch import Tensor


class MlpModel(Model):
    """Linear layers with ReLU between them.

    Parameters
    ----------
    input_shape : tuple of int
        Channels, height, width; flattened.
    n_classes : int
        Number of logits.
    hidden : sequence of int
        Widths of the hidden layers.

    Attributes
    ----------
    widths : tuple of int
        Input, hidden layers, output.
    """

    stacks_on_cpu: ClassVar[bool] = True

    def __init__(self, input_shape: ImageShape, n_classes: int, hidden: Sequence[int] = ()) -> None:
        self.widths = (math.prod(input_shape), *hidden, n_classes)
        shapes: list[tuple[str, tuple[int, ...]]] = []
        for i, (fan_in, fan_out) in enumerate(zip(self.widths, self.widths[1:]), start=1):
            shapes += [(f"layer{i}.weight", (fan_out, fan_in)), (f"layer{i}.bias", (fan_out,))]
        super().__init__(input_shape, n_classes, tuple(shapes))

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """Whether there is no hidden layer."""
        return len(self.widths) == 2

    def forward(self, tensors: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits [b, n_classes]."""
        hidden = images.flatten(1)
        for i in range(0, len(tensors), 2):
            hidden = torch.nn.functional.linear(hidden.relu() if i else hidden, tensors[i], tensors[i + 1])
        return hidden

    def forward_stacked(self, tensors: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits [k, b, n_classes]: one batched product a layer."""
        hidden = images.flatten(2)
        for i in range(0, len(tensors), 2):
            weight, bias = tensors[i], tensors[i + 1]
            hidden = torch.baddbmm(bias.unsqueeze(1), hidden.relu() if i else hidden, weight.mT)
        return hidden


@register("mlp", paper="McMahan 2017", year=2017)
@dataclass(frozen=True, kw_only=True)
class Mlp(ModelFamily):
    """Fully connected network with ReLU.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers; empty for logistic regression. The paper's network has two of
        200 units.

    References
    ----------
    .. [1] H. B. McMahan et al., "Communication-Efficient Learning of Deep Networks from
       Decentralized Data", AISTATS 2017, Section 3.
    """

    # A spec's list becomes a tuple, which a frozen object can hold.
    hidden: Annotated[tuple[Annotated[int, Ge(1)], ...], pydantic.Strict(False)] = (200,)

    takes: ClassVar[frozenset[SampleKind]] = frozenset({"images", "numbers"})

    def build(self, input_shape: ImageShape, n_classes: int) -> MlpModel:
        """Return the network for one task; any input will do."""
        return MlpModel(input_shape, n_classes, self.hidden)
