"""What a backdoor reacts to: pixels, rare images, a computed change, or a few images of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """A backdoor pattern: pixels that are set to the brightest value in every channel.

    Parameters
    ----------
    pixels : tuple of (row, column)
        Positions in the image.
    """

    pixels: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class RareImages:
    """A backdoor without a pattern: the rarest images of a class take the place of others.

    How rare an image is, its density under a Gaussian of the class's training images says; the
    rarest are looked for in all training data, whoever holds them, and success is measured on the
    rarest test images by the same Gaussian.

    Parameters
    ----------
    source : int
        The class.
    share : float
        Share of its images that is rare, in (0, 1]; never fewer than ten, or all there are.
    """

    source: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """A backdoor trigger that the attacker computes: any change of an image.

    Parameters
    ----------
    change : callable
        Takes normalised images [b, channels, height, width] and returns them with the trigger; what
        it does to one image does not depend on the others. Never changes what it is given.
    """

    change: Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class GivenImages:
    """No trigger at all: chosen images that are to be taken for the target class, as they are.

    Parameters
    ----------
    images : Tensor [r, channels, height, width]
        Normalised.
    """

    images: Tensor
