"""Images on the device: stored compactly, normalised as they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_FLOAT_BYTES = 4 * 2**20
"""A set that takes no more than this as float32 is kept normalised; larger ones as they came.

Normalising a batch costs what reading four times the bytes does: it is not slower, and raw values may
be shared between processes.
"""


class ImageStore:
    """A set of images that a network reads as ``(raw / full_scale - mean) / std``.

    The affine map is applied element by element in float32, once for a small set and at every
    read for a large one, so the numbers are the same bit for bit.

    Parameters
    ----------
    raw : uint8 or float32 array [N, channels, height, width]
        Raw values; what has no channels, such as [N, features], has one or one mean each.
    full_scale : float
        The raw value of full brightness.
    mean, std : sequence of float, one per channel
        Of the images after division by `full_scale`.
    device : str or torch.device
        Where the images are kept.
    keep_float : bool, optional
        Whether to keep them normalised. By default where that takes 4 MB or less.

    Attributes
    ----------
    shape : tuple of int
        Of one: channels, height, width.
    bright : float32 Tensor [channels]
        What full brightness becomes.
    dark : float32 Tensor [channels]
        What black becomes.
    """

    def __init__(
        self,
        raw: NDArray[np.uint8] | NDArray[np.float32],
        *,
        full_scale: float,
        mean: Sequence[float],
        std: Sequence[float],
        device: str | torch.device = "cpu",
        keep_float: bool | None = None,
    ) -> None:
        self.shape: tuple[int, ...] = raw.shape[1:]
        apart = (-1, *[1] * (len(self.shape) - 1))
        mean64, std64 = (torch.tensor(v, dtype=torch.float64).view(apart) for v in (mean, std))
        self._scale = (1 / (full_scale * std64)).float().to(device)
        self._shift = (-mean64 / std64).float().to(device)
        self.bright = ((1 - mean64) / std64).float().flatten().to(device)
        self.dark = self._shift.flatten()
        self._values = torch.from_numpy(np.ascontiguousarray(raw)).to(device)
        self._normalised = keep_float if keep_float is not None else 4 * raw.size <= _FLOAT_BYTES
        if self._normalised:
            self._values = self._affine(self._values)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._values)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        """Return normalised images [..., channels, height, width], float32.

        Parameters
        ----------
        index : int64 Tensor [...] or slice
            Positions. A negative one stands for no image and yields the first.
        """
        if isinstance(index, slice):
            picked = self._values[index]
        else:
            flat = index.reshape(-1).clamp(min=0)
            picked = self._values.index_select(0, flat).view(*index.shape, *self.shape)
        return picked if self._normalised else self._affine(picked)

    def _affine(self, raw: Tensor) -> Tensor:
        return raw.to(torch.float32, copy=True).mul_(self._scale).add_(self._shift)


class ImagePart:
    """Some images of a store, normalised as they are read.

    Parameters
    ----------
    store : ImageStore
        Holds them.
    positions : int64 Tensor [n]
        Which, in which order.
    """

    def __init__(self, store: ImageStore, positions: Tensor) -> None:
        self._store, self._positions = store, positions

    def __len__(self) -> int:
        """Return n."""
        return len(self._positions)

    def __getitem__(self, index: slice) -> Tensor:
        """Return normalised images [..., channels, height, width], float32."""
        return self._store[self._positions[index]]
