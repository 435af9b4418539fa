"""Poison that is training: a few gradient steps on learned samples, turned against a direction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from robustbench_fl.api import Adam

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_fl.api import Model

_TRIAL_STEP = 0.1
_MOST_TRIALS = 60
"""Halvings that turn any step size into one whose update underflows."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Synthetic training data and the step size to train with.

    Parameters
    ----------
    images : Tensor [b, *input_shape]
        The samples.
    labels : Tensor [b, C]
        Logits of their soft labels.
    step : float
        Step size a of the gradient steps.
    """

    images: Tensor
    labels: Tensor
    step: float


def trained_on(model: Model, params: Tensor, samples: Samples, steps: int) -> Tensor:
    """Return the update of `steps` gradient steps on the whole of `samples`.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [d]
        Where the steps start.
    samples : Samples
        Data and step size; the loss is the mean over samples and classes of
        −softmax(labels) · log_softmax(logits).
    steps : int
        T.

    Returns
    -------
    Tensor [d]
        Parameters reached minus `params`; differentiable in images and labels where those
        require gradients.
    """
    differentiable = samples.images.requires_grad or samples.labels.requires_grad
    targets = samples.labels.softmax(-1)
    moved = torch.zeros_like(params)
    for _ in range(steps):
        at = params + moved
        if not at.requires_grad:
            at.requires_grad_()
        loss = -(targets * model.apply(at, samples.images).log_softmax(-1)).mean()
        (gradient,) = torch.autograd.grad(loss, at, create_graph=differentiable)
        moved = moved - samples.step * gradient
    return moved


def opposed(
    model: Model,
    params: Tensor,
    direction: Tensor,
    radius: float,
    samples: Samples,
    *,
    steps: int,
    iterations: int,
    rate: float,
) -> Samples:
    """Learn samples on which training goes against a direction, about `radius` far.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [d]
        Global parameters.
    direction : Tensor [d]
        What the update is to oppose; not zero.
    radius : float
        Length of the update, kept by rescaling the step size.
    samples : Samples
        Where to start. Never changed.
    steps : int
        Gradient steps T that make the update.
    iterations : int
        Iterations of Adam on images and label logits; the cosine of update and direction is
        minimised.
    rate : float
        Adam's learning rate.
    """
    images = samples.images.clone().requires_grad_()
    labels = samples.labels.clone().requires_grad_()
    optimiser = Adam([images, labels], rate)
    step, towards = samples.step, direction / direction.norm()
    with torch.enable_grad():
        for _ in range(iterations):
            update = trained_on(model, params, Samples(images=images, labels=labels, step=step), steps)
            length = update.norm()
            if not torch.isfinite(length) or length == 0:
                step /= 2
                continue
            optimiser.step(torch.autograd.grad(update @ towards / length, [images, labels]))
            step *= min(2.0, max(0.5, radius / float(length.detach())))
    return Samples(images=images.detach(), labels=labels.detach(), step=step)


def within(
    model: Model, params: Tensor, radius: float, samples: Samples, steps: int
) -> tuple[Tensor, Samples]:
    """Return the update and the samples with a step size that moves no farther than `radius`.

    The step size is scaled until the length is between 0.95 and 1 times `radius`, or below it
    after a number of trials. It never exceeds 1e6, so an update may stay shorter.

    Parameters
    ----------
    model, params, samples, steps
        As for :func:`trained_on`.
    radius : float
        Bound on the length, positive.

    Returns
    -------
    Tensor [d]
        The update; zero if no step size was found.
    Samples
        What it was made with.
    """
    for _ in range(_MOST_TRIALS):
        update = trained_on(model, params, samples, steps).detach()
        length = float(update.double().norm())
        if 0.95 * radius <= length <= radius or (length <= radius and samples.step >= _LARGEST_STEP):
            return update, samples
        usable = 0 < length < float("inf")
        factor = 0.98 * radius / length if usable else 0.5
        samples = replace(samples, step=min(samples.step * min(factor, 4.0), _LARGEST_STEP))
    update = trained_on(model, params, samples, steps).detach()
    return (update if update.double().norm() <= radius else torch.zeros_like(update)), samples


_LARGEST_STEP = 1e6


def fresh_samples(
    model: Model, params: Tensor, radius: float, steps: int, generator: torch.Generator
) -> Samples:
    """Return one N(0, 1) image a class with its own label, stepped about `radius` far.

    Parameters
    ----------
    model : Model
        The network.
    params : Tensor [d]
        Global parameters.
    radius : float
        Wanted length of the update.
    steps : int
        T.
    generator : torch.Generator
        Where the images come from.
    """
    classes = model.n_classes
    images = torch.randn(classes, *model.input_shape, generator=generator).to(params)
    labels = torch.eye(classes).to(params)
    trial = Samples(images=images, labels=labels, step=_TRIAL_STEP)
    length = float(trained_on(model, params, trial, steps).detach().norm())
    usable = 0 < length < float("inf")
    return replace(trial, step=_TRIAL_STEP * radius / length) if usable else trial
