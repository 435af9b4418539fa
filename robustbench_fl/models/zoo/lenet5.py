"""LeNet-5 (LeCun et al., 1998) with ReLU and max pooling, as it is used today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from robustbench_fl.api import ImageShape, Model, ModelFamily, UsageError, register

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST = 16
"""Height and width that leave one pixel after both convolutions and poolings."""


class LeNet5Model(Model):
    """Two 5×5 convolutions (6 and 16 channels, no padding), each pooled by 2, then 120-84-classes.

    Parameters
    ----------
    input_shape : tuple of int
        Channels, height, width, at least 16×16; 44,426 parameters on 1×28×28 with 10 classes.
    n_classes : int
        Number of logits.
    """

    def __init__(self, input_shape: ImageShape, n_classes: int) -> None:
        channels, height, width = input_shape
        flat = 16 * _after_convolutions(height) * _after_convolutions(width)
        shapes = (
            ("conv1.weight", (6, channels, 5, 5)),
            ("conv1.bias", (6,)),
            ("conv2.weight", (16, 6, 5, 5)),
            ("conv2.bias", (16,)),
            ("layer1.weight", (120, flat)),
            ("layer1.bias", (120,)),
            ("layer2.weight", (84, 120)),
            ("layer2.bias", (84,)),
            ("layer3.weight", (n_classes, 84)),
            ("layer3.bias", (n_classes,)),
        )
        super().__init__(input_shape, n_classes, shapes)

    def forward(self, tensors: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits [b, n_classes]."""
        from robustbench_fl.models.pooling import max_pool_2x2

        maps = images
        for i in (0, 2):
            maps = torch.nn.functional.conv2d(maps, tensors[i], tensors[i + 1])
            maps = max_pool_2x2(maps).relu()  # the order does not matter; this one is cheaper
        hidden = maps.flatten(1)
        for i in (4, 6, 8):
            hidden = torch.nn.functional.linear(
                hidden if i == 4 else hidden.relu(), tensors[i], tensors[i + 1]
            )
        return hidden


def _after_convolutions(side: int) -> int:
    return ((side - 4) // 2 - 4) // 2


@register("lenet5", aliases=("lenet",), paper="LeCun 1998", year=1998)
@dataclass(frozen=True, kw_only=True)
class LeNet5(ModelFamily):
    """Small convolutional network for 28×28 and 32×32 images.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to
       Document Recognition", Proceedings of the IEEE 86(11), 1998, Section II.B.
    """

    def build(self, input_shape: ImageShape, n_classes: int) -> LeNet5Model:
        """Return the network for one task.

        Raises
        ------
        UsageError
            If the images are smaller than 16×16.
        """
        _, height, width = input_shape
        if min(height, width) < _SMALLEST:
            raise UsageError(
                f"lenet5 needs images of at least {_SMALLEST}×{_SMALLEST} pixels, found {height}×{width}. "
                f"Use mlp, logistic or convnet for smaller ones."
            )
        return LeNet5Model(input_shape, n_classes)
