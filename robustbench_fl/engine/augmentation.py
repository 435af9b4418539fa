"""Shifted and mirrored training images, drawn per client and made on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_fl.core.seeding import Label, stream
from robustbench_fl.engine.jobs import Recipe

_MOST_DRAWN = 2**20
"""Views drawn for a step at most."""


def drawn_views(
    samples: NDArray[np.int64], ids: Sequence[Label], recipe: Recipe, seed: int, round: int
) -> NDArray[np.int64] | None:
    """Return how every client looks at its images in one round, ``None`` if as they are.

    A client's draws depend on the seed, the round and its id alone, neither on the other clients
    nor on their number of steps. Every place of the recipe's batch has a draw, also those that no
    client fills and `samples` leaves out: the draws of a batch size are the same whatever the data.

    Parameters
    ----------
    samples : int64 array [k, steps, b]
        Training-set indices, −1 for padding.
    ids : sequence [k]
        The clients.
    recipe : Recipe
        Says how far images are shifted.
    seed, round : int
        The cell's seed and the server round.

    Returns
    -------
    int64 array [k, steps, b, 3]
        Rows and columns by which the view is moved, from −padding to padding, and 1 if it is mirrored.
    """
    if recipe.padding is None:
        return None
    views = np.zeros((*samples.shape, 3), dtype=np.int64)
    width = samples.shape[2]
    places = max(width, min(recipe.batch_size, _MOST_DRAWN))
    for i, client in enumerate(ids):
        rng = stream("augment", seed, round, client if isinstance(client, str) else int(client or 0))
        own = views[i, : int((samples[i, :, 0] >= 0).sum())]
        for step in own:
            step[:, :2] = rng.integers(-recipe.padding, recipe.padding + 1, (places, 2))[:width]
        for step in own:
            step[:, 2] = rng.integers(0, 2, places)[:width]
    return views


def seen_from(images: Tensor, views: Tensor, dark: Tensor) -> Tensor:
    """Return what is seen of `images` through moved and mirrored windows of their own size.

    Parameters
    ----------
    images : Tensor [..., channels, height, width]
        Normalised.
    views : int64 Tensor [..., 3]
        Rows down and columns to the right by which the window is moved, and 1 if what it shows is
        mirrored from left to right.
    dark : Tensor [channels]
        What lies beside an image.

    Returns
    -------
    Tensor [..., channels, height, width]
        A new tensor.
    """
    channels, height, width = images.shape[-3:]
    down, right, mirrored = (views[..., i, None] for i in range(3))
    across = torch.arange(width, device=images.device)
    rows = torch.arange(height, device=images.device) + down
    columns = torch.where(mirrored.bool(), width - 1 - across, across) + right
    inside = ((rows >= 0) & (rows < height)).unsqueeze(-1) & ((columns >= 0) & (columns < width)).unsqueeze(
        -2
    )
    pixels = rows.clamp(0, height - 1).unsqueeze(-1) * width + columns.clamp(0, width - 1).unsqueeze(-2)
    index = pixels.flatten(-2).unsqueeze(-2).expand(*images.shape[:-2], -1)
    found = images.flatten(-2).gather(-1, index).view(images.shape)
    return torch.where(inside.unsqueeze(-3), found, dark.view(channels, 1, 1))
