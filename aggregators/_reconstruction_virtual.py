"""Virtual clients: the recipe on noise. How long their reconstruction takes is the measure for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import Model

LONGEST = 200
"""Iterations after which a virtual client is not waited for: its length counts as so many."""
LEAST = 150
"""Iterations that every client is granted: a network that is still at chance learns nothing but its last
biases from noise, and those are re-created in five."""
SLACK = 10.0
"""Class sums that are allowed, in those of virtual clients."""
_SAMPLES, _BATCH = 320, 32
"""Of a virtual client whose recipe is not known."""
_PASSES = 12
"""Searches for a learning rate under which one pass goes as far as the clients went."""


@dataclass(frozen=True)
class Noise:
    """Data of two virtual clients with s samples each, every class equally often.

    Parameters
    ----------
    images : Tensor [2, s, ...]
        Inputs of the network: white noise, and noise whose spectrum falls as that of pictures does.
    labels : int64 Tensor [2, s]
        Their classes.
    """

    images: Tensor
    labels: Tensor

    @classmethod
    def drawn(cls, model: Model, samples: int, generator: torch.Generator, like: Tensor) -> Noise:
        """Return noise of mean 0 and standard deviation 1 on the device of `like`."""
        shape = (2, max(samples, 1))
        white, other = torch.randn(*shape, *model.input_shape, generator=generator)
        labels = (torch.arange(shape[1]) % model.n_classes).expand(shape)
        return cls(torch.stack([white, smoothed(other)]).to(like), labels.contiguous().to(like.device))


def smoothed(images: Tensor) -> Tensor:
    """Return white noise [..., height, width] as noise with amplitudes of 1 / frequency, of variance 1.

    D. Field, "Relations between the statistics of natural images and the response properties of
    cortical cells", JOSA A 1987: pictures have such a spectrum.
    """
    height, width = images.shape[-2:]
    down, across = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None]
    frequency = (down.square() + across.square()).sqrt().clamp(min=1 / max(height, width))
    smooth: Tensor = torch.fft.ifft2(torch.fft.fft2(images) / frequency).real
    return smooth / smooth.std()


def usual_length(updates: Tensor) -> float:
    """Return the median length of the updates [n, P]; of those that are not zero, where most are."""
    lengths = torch.linalg.vector_norm(updates, dim=1)
    median = float(lengths.median())
    moved = lengths[lengths > 0]
    return median if median > 0 or not len(moved) else float(moved.median())


def trained_to_length(model: Model, params: Tensor, length: float, draw: Callable[[int], Noise]) -> Tensor:
    """Return updates [k, P] of training that goes as far as the clients did, by a recipe of our own.

    One pass of SGD over 320 samples in batches of 32, with the learning rate for which the update
    is `length` long, to a tenth; zeros for a length of zero.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [P]
        Where training starts.
    length : float
        Of the update.
    draw : callable
        ``draw(samples)``: the virtual clients' data.
    """
    data = draw(_SAMPLES)
    return torch.stack(
        [_one_pass(model, params, length, *client) for client in zip(data.images, data.labels, strict=True)]
    )


def _one_pass(model: Model, params: Tensor, length: float, images: Tensor, labels: Tensor) -> Tensor:
    rate, update = 1e-3, torch.zeros_like(params)
    for _ in range(_PASSES if length else 0):
        moved = torch.zeros_like(params)
        for low in range(0, len(labels), _BATCH):
            leaf = (params + moved).requires_grad_()
            logits = model.apply(leaf, images[low : low + _BATCH])
            loss = torch.nn.functional.cross_entropy(logits, labels[low : low + _BATCH])
            (gradient,) = torch.autograd.grad(loss, leaf)
            moved = moved - rate * gradient
        reached = float(moved.norm())
        if not 0 < reached < float("inf"):
            rate /= 10
            continue
        update = moved
        if abs(reached / length - 1) < 0.1:
            break
        rate *= min(max(length / reached, 0.1), 10.0)
    return update
