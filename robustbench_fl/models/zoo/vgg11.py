"""VGG-11 for small images (Simonyan and Zisserman, 2015)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge

from robustbench_fl.api import ImageShape, ModelFamily, UsageError, register
from robustbench_fl.models.module import ModuleModel

_FACTORS = ((1,), (2,), (4, 4), (8, 8), (8, 8))
"""Channels of the convolutions in units of the width, between one pooling and the next."""
_SMALLEST = 2 ** len(_FACTORS)


@register("vgg11", paper="Simonyan 2015", year=2015)
@dataclass(frozen=True, kw_only=True)
class Vgg11(ModelFamily):
    """Eight 3×3 convolutions, five poolings and one layer: 9,231,114 parameters on 3×32×32.

    The form usual for CIFAR: the three large layers at the end of the original are one.

    Parameters
    ----------
    width : int
        Channels of the first convolution; the last have eight times as many.
    norm : {"group", None}
        Normalisation after every convolution; the original has none. Without it the weights start
        within sqrt(6 / fan-in) [2]_, since smaller ones let nothing through so many layers.
    groups : int
        Groups of every normalisation, which must divide the width.

    References
    ----------
    .. [1] K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
       Recognition", ICLR 2015, Table 1, configuration A.
    .. [2] K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", ICCV 2015, Section 2.2.
    """

    width: Annotated[int, Ge(1)] = 64
    norm: Literal["group"] | None = "group"
    groups: Annotated[int, Ge(1)] = 2

    def build(self, input_shape: ImageShape, n_classes: int) -> ModuleModel:
        """Return the network for one task.

        Raises
        ------
        UsageError
            If the images are smaller than 32×32, or the width cannot be divided into the groups.
        """
        _, height, width = input_shape
        if min(height, width) < _SMALLEST:
            raise UsageError(
                f"vgg11 needs images of at least {_SMALLEST}×{_SMALLEST} pixels, found {height}×{width}. "
                "Use cnn, lenet5 or resnet8 for smaller ones."
            )
        if self.norm and self.width % self.groups:
            raise UsageError(
                f"vgg11: a width of {self.width} cannot be divided into {self.groups} groups. Change one."
            )
        return ModuleModel(
            input_shape,
            n_classes,
            lambda: self._module(input_shape, n_classes),
            name="vgg11",
            gain=1.0 if self.norm else math.sqrt(6),
        )

    def _module(self, input_shape: ImageShape, n_classes: int) -> torch.nn.Module:
        before, height, width = input_shape
        layers: list[torch.nn.Module] = []
        for stage in _FACTORS:
            for channels in (factor * self.width for factor in stage):
                layers.append(torch.nn.Conv2d(before, channels, 3, padding=1))
                layers += [torch.nn.GroupNorm(self.groups, channels)] if self.norm else []
                layers.append(torch.nn.ReLU())
                before = channels
            layers.append(torch.nn.MaxPool2d(2))
        pixels = (height // _SMALLEST) * (width // _SMALLEST)
        return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(before * pixels, n_classes))
