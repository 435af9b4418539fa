"""The convolutional network of the data-set distillation literature (Gidaris and Komodakis, 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge

from robustbench_fl.api import ImageShape, Model, ModelFamily, UsageError, register

if TYPE_CHECKING:
    from torch import Tensor


class ConvNetModel(Model):
    """Blocks of 3×3 convolution, instance normalisation, ReLU and 2×2 average pooling, then one layer.

    A first convolution on one 28×28 channel pads by 3, which makes 32×32.

    Parameters
    ----------
    input_shape : tuple of int
        Channels, height, width.
    n_classes : int
        Number of logits.
    width : int
        Channels of every block.
    depth : int
        Number of blocks.
    norm : {"instance", None}
        Normalisation of every channel of every sample, with learned scale and shift.
    """

    def __init__(
        self,
        input_shape: ImageShape,
        n_classes: int,
        *,
        width: int = 128,
        depth: int = 3,
        norm: Literal["instance"] | None = "instance",
    ) -> None:
        channels, height, width_in = input_shape
        self._first_padding = 3 if input_shape == (1, 28, 28) else 1
        grown = 2 * (self._first_padding - 1)
        self._normalised = norm == "instance"
        shapes: list[tuple[str, tuple[int, ...]]] = []
        for block in range(1, depth + 1):
            shapes += [
                (f"conv{block}.weight", (width, channels, 3, 3)),
                (f"conv{block}.bias", (width,)),
            ]
            if self._normalised:
                shapes += [(f"norm{block}.scale", (width,)), (f"norm{block}.shift", (width,))]
            channels = width
        flat = width * ((height + grown) >> depth) * ((width_in + grown) >> depth)
        shapes += [("layer.weight", (n_classes, flat)), ("layer.bias", (n_classes,))]
        super().__init__(input_shape, n_classes, tuple(shapes))

    def forward(self, tensors: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits [b, n_classes]."""
        maps = images
        for i, block in enumerate(self._blocks(tensors)):
            maps = torch.nn.functional.conv2d(maps, block[0], block[1], padding=self._padding(i))
            if self._normalised:
                maps = torch.nn.functional.group_norm(maps, maps.shape[1], block[2], block[3])
            maps = torch.nn.functional.avg_pool2d(maps.relu(), 2)
        return torch.nn.functional.linear(maps.flatten(1), tensors[-2], tensors[-1])

    def forward_stacked(self, tensors: Sequence[Tensor], images: Tensor) -> Tensor:
        """Return the logits [k, b, n_classes]: the clients side by side as groups of channels."""
        from robustbench_fl.models.zoo._instance_norm import instance_norm

        k, b = images.shape[:2]
        maps = images.transpose(0, 1).reshape(b, -1, *images.shape[3:])
        for i, parts in enumerate(self._blocks(tensors)):
            block = [part.flatten(0, 1) for part in parts]
            # What is added to a whole channel, its normalisation takes away again.
            bias = None if self._normalised else block[1]
            maps = torch.nn.functional.conv2d(maps, block[0], bias, padding=self._padding(i), groups=k)
            if self._normalised:
                maps = instance_norm(maps, block[2], block[3])
            maps = _pooled(maps.relu())
        hidden = maps.reshape(b, k, -1).transpose(0, 1)
        return torch.baddbmm(tensors[-1].unsqueeze(1), hidden, tensors[-2].mT)

    def _blocks(self, tensors: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        each = 4 if self._normalised else 2
        return [tensors[i : i + each] for i in range(0, len(tensors) - 2, each)]

    def _padding(self, block: int) -> int:
        return 1 if block else self._first_padding


def _pooled(maps: Tensor) -> Tensor:
    """Return 2×2 averages; on a CPU sums of slices beat ``avg_pool2d``, whose gradients are slow."""
    height, width = (side // 2 * 2 for side in maps.shape[-2:])
    rows = maps[..., :height:2, :width] + maps[..., 1:height:2, :width]
    return (rows[..., ::2] + rows[..., 1::2]) * 0.25


@register("convnet", paper="Gidaris 2018", year=2018)
@dataclass(frozen=True, kw_only=True)
class ConvNet(ModelFamily):
    """Convolutional network with instance normalisation: 317,706 parameters on 1×28×28, 320,010 on 3×32×32.

    Parameters
    ----------
    width : int
        Channels of every block.
    depth : int
        Blocks; each halves height and width.
    norm : {"instance", None}
        Normalisation after every convolution.

    References
    ----------
    .. [1] S. Gidaris, N. Komodakis, "Dynamic Few-Shot Visual Learning without Forgetting",
       CVPR 2018, Section 4.
    """

    width: Annotated[int, Ge(1)] = 128
    depth: Annotated[int, Ge(1)] = 3
    norm: Literal["instance"] | None = "instance"

    def build(self, input_shape: ImageShape, n_classes: int) -> ConvNetModel:
        """Return the network for one task.

        Raises
        ------
        UsageError
            If nothing would be left after the poolings.
        """
        side = min(input_shape[1:])
        if side >> self.depth == 0:
            raise UsageError(
                f"convnet(depth={self.depth}) halves the images {self.depth} times and needs at least "
                f"{2**self.depth} pixels a side, found {side}. Use a smaller depth."
            )
        return ConvNetModel(input_shape, n_classes, width=self.width, depth=self.depth, norm=self.norm)
