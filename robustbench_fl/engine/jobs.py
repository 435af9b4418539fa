"""The unit of batched local training: many clients' steps as stacked tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from robustbench_fl.core.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Recipe(Settings):
    """How every client of a cell trains: the cell's settings, with `lr` that of the round.

    The last batch of a pass may be smaller. With `local_steps` passes follow each other, freshly
    shuffled. SGD is in PyTorch's form; its momentum buffer is fresh in every round.

    Parameters
    ----------
    padding : int, optional
        Pixels by which every image is shifted at most; it is also mirrored every other time. By
        default images are learned as they are.
    """

    padding: int | None = None


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """k clients' local training, step by step.

    Parameters
    ----------
    samples : int64 Tensor [k, steps, b]
        Training-set index of every sample of every step, −1 where there is none. b is the recipe's
        batch size, or a multiple of 384 that holds the federation's largest client if that is less:
        nobody's bits depend on who else trains. Clients with fewer steps are padded with −1.
    label_maps : int64 Tensor [k, n_classes], optional
        Class y is learned as ``label_maps[i, y]``.
    mapped : bool Tensor [k, steps], optional
        The steps in which the label map holds; all of them by default.
    triggered : bool Tensor [k, steps, b], optional
        Which samples carry the client's trigger and the target label.
    triggers : bool Tensor [k, height, width], optional
        The client's trigger pixels, set to full brightness in every channel.
    changes : tuple of callable or None [k], optional
        What is done to the triggered images of each client, after its trigger pixels.
    targets : int64 Tensor [k], optional
        The label of triggered samples.
    gradient_masks : float Tensor [k, n_params], optional
        Factor of every gradient coordinate.
    radii : float Tensor [k], optional
        How far each client's parameters may come from their start; infinite for no bound.
    project_every : int
        Steps between two projections onto that ball.
    views : int64 Tensor [k, steps, b, 3], optional
        How every image is looked at: rows and columns it is shifted by, and 1 where it is mirrored.
    """

    samples: Tensor
    label_maps: Tensor | None = None
    mapped: Tensor | None = None
    triggered: Tensor | None = None
    triggers: Tensor | None = None
    changes: tuple[Callable[[Tensor], Tensor] | None, ...] | None = None
    targets: Tensor | None = None
    gradient_masks: Tensor | None = None
    radii: Tensor | None = None
    project_every: int = 1
    views: Tensor | None = None

    def __len__(self) -> int:
        """Return k."""
        return len(self.samples)
