"""Residual networks for small images, with group in place of batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from robustbench_fl.api import ImageShape, UsageError
from robustbench_fl.models.module import ModuleModel

if TYPE_CHECKING:
    from torch import Tensor


def residual_model(
    name: str, input_shape: ImageShape, n_classes: int, *, widths: Sequence[int], blocks: int, groups: int
) -> ModuleModel:
    """Return the network `name`; the further parameters are those of :class:`ResNet`.

    Raises
    ------
    UsageError
        If the width of the first stage cannot be divided into the groups.
    """
    if widths[0] % groups:
        raise UsageError(
            f"{name}: a width of {widths[0]} cannot be divided into {groups} groups. Change one."
        )
    return ModuleModel(
        input_shape,
        n_classes,
        lambda: ResNet(input_shape[0], n_classes, widths=widths, blocks=blocks, groups=groups),
        name=name,
    )


class ResNet(nn.Module):
    """A 3×3 convolution, stages of two-layer residual blocks, the mean over the map, one layer.

    Every stage but the first halves the map. Where a block changes the shape, a 1×1 convolution with
    normalisation leads past it.

    Parameters
    ----------
    channels : int
        Of the images.
    n_classes : int
        Number of logits.
    widths : sequence of int
        Channels of each stage.
    blocks : int
        Residual blocks in every stage.
    groups : int
        Of every normalisation.
    """

    def __init__(
        self, channels: int, n_classes: int, *, widths: Sequence[int], blocks: int, groups: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 3, padding=1, bias=False),
            nn.GroupNorm(groups, widths[0]),
            nn.ReLU(),
        ]
        before = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(Block(before, width, 2 if stage and not block else 1, groups))
                before = width
        self.body = nn.Sequential(*layers)
        self.fc = nn.Linear(before, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [b, n_classes]."""
        logits: Tensor = self.fc(self.body(images).mean((2, 3)))
        return logits


class Block(nn.Module):
    """Two 3×3 convolutions with normalisation, added to what came in."""

    def __init__(self, before: int, width: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(groups, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(groups, width)
        self.past: nn.Module = nn.Identity()
        if stride > 1 or before != width:
            self.past = nn.Sequential(
                nn.Conv2d(before, width, 1, stride, bias=False), nn.GroupNorm(groups, width)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Return the block's output [b, width, height / stride, …]."""
        inner = self.norm1(self.conv1(maps)).relu()
        out: Tensor = (self.norm2(self.conv2(inner)) + self.past(maps)).relu()
        return out
