"""Data that lead from one global model to a later one: trajectory matching (Pi et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from robustbench_fl.api import Adam, torch_generator

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import Model

_IMAGE_RATE, _LABEL_RATE, _STEP_RATE = 0.1, 0.05, 0.05
"""Adam's rates for the images, the labels' logits and the logarithm of the inner learning rate."""
_FIRST_LOGIT = 4.0
"""Of an image's own class; the others start at 0."""
_FIRST_STEP = 0.1
"""Inner learning rate at the start."""


def synthetic_data(
    model: Model,
    points: Sequence[Tensor],
    rng: np.random.Generator,
    *,
    span: int,
    per_class: int,
    iterations: int,
    inner_steps: int,
) -> tuple[Tensor, Tensor]:
    """Return images and soft labels on which training leads along a trajectory.

    Parameters
    ----------
    model : Model
        The network.
    points : sequence of Tensor [d]
        Parameters of successive rounds, two at least.
    rng : numpy.random.Generator
        Draws the first images and the stretches of the trajectory.
    span : int
        Length of a stretch in rounds at most.
    per_class : int
        Images a class.
    iterations : int
        Steps of Adam on images, labels and inner learning rate.
    inner_steps : int
        Steps of gradient descent from the beginning of a stretch.

    Returns
    -------
    images : Tensor [q, ...]
        In the scale that the network sees.
    labels : Tensor [q, C]
        Probabilities of the classes.

    Notes
    -----
    The loss is ``‖w̃ − w_{t+s}‖² / ‖w_t − w_{t+s}‖²`` with w̃ the end of the inner steps from w_t.
    Stretches on which the model does not move are passed over.
    """
    first = points[0]
    count = per_class * model.n_classes
    images = torch.randn((count, *model.input_shape), generator=torch_generator(rng)).to(first)
    classes = torch.arange(count, device=first.device) % model.n_classes
    logits = _FIRST_LOGIT * torch.nn.functional.one_hot(classes, model.n_classes).to(first)
    log_step = torch.tensor(float(np.log(_FIRST_STEP)), device=first.device)
    free = [value.requires_grad_() for value in (images, logits, log_step)]
    optimiser = Adam(free, (_IMAGE_RATE, _LABEL_RATE, _STEP_RATE))
    for _ in range(iterations):
        start = int(rng.integers(len(points) - 1))
        end = min(len(points) - 1, start + int(rng.integers(1, span + 1)))
        with torch.enable_grad():
            loss = matching_loss(
                model, points[start], points[end], images, logits.softmax(1), log_step.exp(), inner_steps
            )
            if loss is None:
                continue
            gradients = torch.autograd.grad(loss, free)
        if all(bool(gradient.isfinite().all()) for gradient in gradients):
            optimiser.step(gradients)
    return images.detach(), logits.detach().softmax(1)


def matching_loss(
    model: Model, start: Tensor, end: Tensor, images: Tensor, labels: Tensor, rate: Tensor, steps: int
) -> Tensor | None:
    """Return how far gradient descent on the data from `start` ends from `end`, as a share of their distance.

    Parameters
    ----------
    model : Model
        The network.
    start, end : Tensor [d]
        Parameters.
    images, labels, rate : Tensor [q, ...], Tensor [q, C], Tensor []
        Data and learning rate, through which is differentiated.
    steps : int
        Steps of gradient descent on the cross-entropy.

    Returns
    -------
    Tensor [] or None
        ``‖w̃ − end‖² / ‖start − end‖²``; ``None`` if both are the same.
    """
    length = (start - end).square().sum()
    if not length > 0:
        return None
    params = start.detach().clone().requires_grad_()
    for _ in range(steps):
        fit = -(labels * model.apply(params, images).log_softmax(1)).sum(1).mean()
        (gradient,) = torch.autograd.grad(fit, params, create_graph=True)
        params = params - rate * gradient
    return (params - end).square().sum() / length
