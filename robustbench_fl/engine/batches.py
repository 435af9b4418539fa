"""Jobs made ready for training: labels, weights, and the images of any step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from robustbench_fl.engine.augmentation import seen_from
from robustbench_fl.engine.jobs import Jobs


class TrainingData(Protocol):
    """Images and labels to train on: a federation's, or what a server made up."""

    @property
    def bright(self) -> Tensor:
        """Full brightness after normalisation, float32 [channels]."""

    @property
    def dark(self) -> Tensor:
        """Black after normalisation, float32 [channels]."""

    @property
    def device(self) -> str:
        """Where images and labels are."""

    def images(self, indices: Tensor) -> Tensor:
        """Return normalised images [..., channels, height, width]; −1 yields any image."""

    def labels(self, indices: Tensor) -> Tensor:
        """Return the classes at `indices`; −1 yields any class."""


class Batches:
    """What the clients of some jobs see at each step.

    Parameters
    ----------
    federation : Federation or MadeData
        Holds the training data.
    jobs : Jobs
        k clients' training.

    Attributes
    ----------
    labels : int64 Tensor [k, steps, b]
        What is learned, after label map and trigger.
    weights : float32 Tensor [k, steps, b]
        One over the batch's samples, 0 for padding: the loss is the mean over real samples.
    counts : list of list of int [k][steps]
        Real samples of every batch; they come first in it.
    """

    def __init__(self, federation: TrainingData, jobs: Jobs) -> None:
        self.federation = federation
        self.jobs = jobs
        self.labels = _labels(federation, jobs)
        valid = jobs.samples >= 0
        sizes = valid.sum(dim=2, keepdim=True)
        self.weights = valid / sizes.clamp(min=1)
        self.counts: list[list[int]] = sizes.squeeze(2).tolist()

    @property
    def steps(self) -> list[int]:
        """Local steps of each client."""
        return [sum(count > 0 for count in counts) for counts in self.counts]

    def due_radii(self, low: int, high: int, step: int) -> Tensor | None:
        """Return the radius [high − low] that each job is pulled back to after `step`, infinite for none.

        ``None`` if that holds for all of them.
        """
        if self.jobs.radii is None:
            return None
        last = torch.tensor([steps == step + 1 for steps in self.steps[low:high]])
        due = last | ((step + 1) % self.jobs.project_every == 0)
        if not bool(due.any()):
            return None
        return torch.where(due.to(self.jobs.radii.device), self.jobs.radii[low:high], torch.inf)

    def images(self, low: int, high: int, step: int, width: int | None = None) -> Tensor:
        """Return the images [high − low, width, channels, height, width'] of one step.

        Parameters
        ----------
        low, high : int
            Which jobs.
        step : int
            Which step.
        width : int, optional
            Samples of each batch, from its start; all of them, padding too, by default.
        """
        rows = slice(low, high)
        images = self.federation.images(self.jobs.samples[rows, step, :width])
        if self.jobs.views is not None:
            images = seen_from(images, self.jobs.views[rows, step, :width], self.federation.dark)
        if self.jobs.triggered is None or self.jobs.triggers is None:
            return images
        triggered = self.jobs.triggered[rows, step, :width]
        marked = triggered[:, :, None, None] & self.jobs.triggers[rows, None]
        images = stamped(images, marked, self.federation.bright)
        return images if self.jobs.changes is None else changed(images, triggered, self.jobs.changes[rows])


def stamped(images: Tensor, marked: Tensor, bright: Tensor) -> Tensor:
    """Return `images` with the marked pixels at full brightness in every channel.

    Parameters
    ----------
    images : Tensor [..., channels, height, width]
        Normalised.
    marked : bool Tensor, broadcastable to [..., height, width]
        Pixels to set.
    bright : Tensor [channels]
        Full brightness after normalisation.
    """
    return torch.where(marked.unsqueeze(-3), bright.view(-1, 1, 1), images)


def changed(
    images: Tensor, triggered: Tensor, changes: Sequence[Callable[[Tensor], Tensor] | None]
) -> Tensor:
    """Return `images` with each client's change done to its triggered ones.

    Parameters
    ----------
    images : Tensor [k, b, channels, height, width]
        Normalised; not changed.
    triggered : bool Tensor [k, b]
        Which.
    changes : sequence of callable or None [k]
        As in :class:`~robustbench_fl.api.Stamp`.
    """
    found = images.clone()
    with torch.no_grad():
        for own, hit, change in zip(found, triggered, changes, strict=True):
            if change is not None and bool(hit.any()):
                own[hit] = change(own[hit])
    return found


def longest_first(jobs: Jobs) -> tuple[Jobs, Tensor | None]:
    """Return the jobs sorted by falling number of steps, so that those still at work are a prefix.

    Returns
    -------
    Jobs
        Sorted; of equal ones the first stays first.
    int64 Tensor [k] or None
        The job at each place, ``None`` if the order is as it was.
    """
    steps = (jobs.samples[:, :, 0] >= 0).sum(dim=1)
    order = torch.argsort(steps, descending=True, stable=True)
    if torch.equal(order, torch.arange(len(order), device=order.device)):
        return jobs, None

    def pick(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor[order]

    return (
        replace(
            jobs,
            samples=jobs.samples[order],
            label_maps=pick(jobs.label_maps),
            mapped=pick(jobs.mapped),
            triggered=pick(jobs.triggered),
            triggers=pick(jobs.triggers),
            changes=None if jobs.changes is None else tuple(jobs.changes[i] for i in order.tolist()),
            targets=pick(jobs.targets),
            gradient_masks=pick(jobs.gradient_masks),
            radii=pick(jobs.radii),
            views=pick(jobs.views),
        ),
        order,
    )


def _labels(federation: TrainingData, jobs: Jobs) -> Tensor:
    labels = federation.labels(jobs.samples)
    if jobs.label_maps is not None:
        learned = jobs.label_maps.gather(1, labels.flatten(1)).view_as(labels)
        labels = learned if jobs.mapped is None else torch.where(jobs.mapped[:, :, None], learned, labels)
    if jobs.triggered is not None and jobs.targets is not None:
        labels = torch.where(jobs.triggered, jobs.targets[:, None, None], labels)
    return labels
