"""Triggers whose values are learned: where they lie, how they are stamped, and how far pixels go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from robustbench_fl.api import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Sets the pixels of a mask to given values.

    Parameters
    ----------
    mask : bool Tensor [height, width]
        Which pixels.
    values : Tensor [channels, height, width]
        What they become, normalised; of no account outside the mask.
    """

    mask: Tensor
    values: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """Return `images` [b, channels, height, width] with the pattern."""
        return torch.where(self.mask, self.values.to(images.dtype), images)


@dataclass(frozen=True, kw_only=True)
class PatternState(State):
    """A pattern that was learned so far.

    Parameters
    ----------
    values : Tensor [channels, height, width]
        Normalised.
    """

    values: Tensor


def square(height: int, width: int, corner: float, side: float) -> Tensor:
    """Return a square of pixels near the upper left corner as a mask, bool Tensor [height, width].

    Parameters
    ----------
    height, width : int
        Size of the image.
    corner, side : float
        Distance of the square from the edges and its side, as shares of the shorter side of the image:
        rounded down, and up.

    Examples
    --------
    >>> [int(square(n, n, 2 / 32, 5 / 32).sum()) for n in (8, 28, 32)]
    [4, 25, 25]
    """
    shorter = min(height, width)
    low, length = math.floor(corner * shorter), math.ceil(side * shorter)
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[low : low + length, low : low + length] = True
    return mask


def pixel_range(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest value of each channel [channels, 1, 1] in `images` [k, ...]."""
    return (
        images.amin(dim=(0, 2, 3))[:, None, None],
        images.amax(dim=(0, 2, 3))[:, None, None],
    )


def in_batches(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the data in batches of `size`, in their order."""
    yield from zip(torch.split(images, size), torch.split(labels, size), strict=True)
