"""The convolutional network of the paper that introduced federated averaging (McMahan et al., 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from robustbench_fl.api import ImageShape, Model, ModelFamily, UsageError, register

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 4


class CnnModel(Model):
    """Two 5×5 convolutions (32 and 64 channels) that keep the size, each pooled by 2, then 512-classes.

    Parameters
    ----------
    input_shape : tuple of int
        Channels, height, width, at least 4×4.
    n_classes : int
        Number of logits.
    """

    def __init__(self, input_shape: ImageShape, n_classes: int) -> None:
        channels, height, width = input_shape
        shapes = (
            ("conv1.weight", (32, channels, 5, 5)),
            ("conv1.bias", (32,)),
            ("conv2.weight", (64, 32, 5, 5)),
            ("conv2.bias", (64,)),
            ("layer1.weight", (512, 64 * (height // 4) * (width // 4))),
            ("layer1.bias", (512,)),
            ("layer2.weight", (n_classes, 512)),
            ("layer2.bias", (n_classes,)),
        )
        super().__init__(input_shape, n_classes, shapes)

    def forward(self, tensors: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits [b, n_classes]."""
        from robustbench_fl.models.pooling import max_pool_2x2

        maps = images
        for i in (0, 2):
            maps = torch.nn.functional.conv2d(maps, tensors[i], tensors[i + 1], padding=2)
            maps = max_pool_2x2(maps).relu()  # the order does not matter; this one is cheaper
        hidden = torch.nn.functional.linear(maps.flatten(1), tensors[4], tensors[5]).relu()
        return torch.nn.functional.linear(hidden, tensors[6], tensors[7])


@register("cnn", paper="McMahan 2017", year=2017)
@dataclass(frozen=True, kw_only=True)
class Cnn(ModelFamily):
    """Two wide 5×5 convolutions and a layer of 512: 1,663,370 parameters on 1×28×28.

    References
    ----------
    .. [1] B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas, "Communication-Efficient
       Learning of Deep Networks from Decentralized Data", AISTATS 2017, Section 3.
    """

    def build(self, input_shape: ImageShape, n_classes: int) -> CnnModel:
        """Return the network for one task.

        Raises
        ------
        UsageError
            If nothing would be left after the poolings.
        """
        _, height, width = input_shape
        if min(height, width) < _SMALLEST:
            raise UsageError(
                f"cnn needs images of at least {_SMALLEST}×{_SMALLEST} pixels, found {height}×{width}. "
                "Use mlp or logistic for smaller ones."
            )
        return CnnModel(input_shape, n_classes)
