"""The unit of batched local training: many clients' steps as stacked tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How every client of a cell trains.

    Parameters
    ----------
    lr : float
        Learning rate of local SGD.
    batch_size : int
        Samples a step; the last batch of a pass may be smaller.
    local_epochs : int, optional
        Passes over the client's data in one round.
    local_steps : int, optional
        Steps in one round, in place of `local_epochs`; passes follow each other, freshly shuffled.
    momentum, weight_decay : float
        Of SGD, in PyTorch's form; the momentum buffer is fresh in every round.
    proximal_mu : float
        Weight μ of the proximal term μ/2 ‖w − w_start‖² of the loss (T. Li et al., "Federated
        Optimization in Heterogeneous Networks", MLSys 2020, Equation 2).
    padding : int, optional
        Pixels by which every image is shifted at most; it is also mirrored every other time. By
        default images are learned as they are.
    """

    lr: float = 0.05
    batch_size: int = 32
    local_epochs: int | None = 1
    local_steps: int | None = None
    momentum: float = 0.0
    weight_decay: float = 0.0
    proximal_mu: float = 0.0
    padding: int | None = None


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """k clients' local training, step by step.

    Parameters
    ----------
    samples : int64 Tensor [k, steps, b]
        Training-set index of every sample of every step, −1 where there is none. b is the
        recipe's batch size, never less; clients with fewer steps are padded with −1.
    label_maps : int64 Tensor [k, n_classes], optional
        Class y is learned as ``label_maps[i, y]``.
    mapped : bool Tensor [k, steps], optional
        The steps in which the label map holds; all of them by default.
    triggered : bool Tensor [k, steps, b], optional
        Which samples carry the client's trigger and the target label.
    triggers : bool Tensor [k, height, width], optional
        The client's trigger pixels, set to full brightness in every channel.
    targets : int64 Tensor [k], optional
        The label of triggered samples.
    gradient_masks : float Tensor [k, n_params], optional
        Factor of every gradient coordinate.
    views : int64 Tensor [k, steps, b, 3], optional
        How every image is looked at: rows and columns it is shifted by, and 1 where it is mirrored.
    """

    samples: Tensor
    label_maps: Tensor | None = None
    mapped: Tensor | None = None
    triggered: Tensor | None = None
    triggers: Tensor | None = None
    targets: Tensor | None = None
    gradient_masks: Tensor | None = None
    views: Tensor | None = None

    def __len__(self) -> int:
        """Return k."""
        return len(self.samples)


def joined(parts: Sequence[Jobs]) -> Jobs:
    """Return the jobs of all `parts` as one, in their order.

    What only some of them have is made up for the others so that it changes nothing.

    Parameters
    ----------
    parts : sequence of Jobs
        With the same batch size, of one data set and network.
    """
    if len(parts) == 1:
        return parts[0]
    steps = max(part.samples.shape[1] for part in parts)
    return Jobs(
        samples=_stacked([part.samples for part in parts], steps, -1),
        label_maps=_filled([part.label_maps for part in parts], parts, _identity_maps),
        mapped=_along_steps([part.mapped for part in parts], parts, steps, 1),
        triggered=_along_steps([part.triggered for part in parts], parts, steps, 0),
        triggers=_filled(
            [part.triggers for part in parts], parts, lambda like, k: like.new_zeros(k, *like.shape[1:])
        ),
        targets=_filled([part.targets for part in parts], parts, lambda like, k: like.new_zeros(k)),
        gradient_masks=_filled(
            [part.gradient_masks for part in parts], parts, lambda like, k: like.new_ones(k, like.shape[1])
        ),
        views=_along_steps([part.views for part in parts], parts, steps, 0),
    )


def _stacked(tensors: Sequence[Tensor], steps: int, padding: int) -> Tensor:
    """Return tensors [k, steps, ...] one after the other, padded to `steps`."""
    out = tensors[0].new_full((sum(map(len, tensors)), steps, *tensors[0].shape[2:]), padding)
    low = 0
    for tensor in tensors:
        out[low : low + len(tensor), : tensor.shape[1]] = tensor
        low += len(tensor)
    return out


def _filled(
    tensors: Sequence[Tensor | None], parts: Sequence[Jobs], neutral: Callable[[Tensor, int], Tensor]
) -> Tensor | None:
    """Return tensors [k, ...] one after the other, ``neutral(like, k)`` in place of what is missing."""
    like = next((tensor for tensor in tensors if tensor is not None), None)
    if like is None:
        return None
    whole = [
        neutral(like, len(part)) if tensor is None else tensor
        for tensor, part in zip(tensors, parts, strict=True)
    ]
    return torch.cat(whole)


def _along_steps(
    tensors: Sequence[Tensor | None], parts: Sequence[Jobs], steps: int, neutral: int
) -> Tensor | None:
    """Return tensors [k, steps, ...] one after the other, padded, and `neutral` where there is none."""
    like = next((tensor for tensor in tensors if tensor is not None), None)
    if like is None:
        return None
    whole = [
        like.new_full((*part.samples.shape[:2], *like.shape[2:]), neutral) if tensor is None else tensor
        for tensor, part in zip(tensors, parts, strict=True)
    ]
    return _stacked(whole, steps, neutral)


def _identity_maps(like: Tensor, k: int) -> Tensor:
    n_classes = like.shape[1]
    return like.new_ones(k, n_classes).cumsum(1) - 1
