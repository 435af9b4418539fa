"""Clients that a server makes up: the recipe of the real ones, on data of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_fl.core.errors import UsageError
from robustbench_fl.engine.batches import TrainingData
from robustbench_fl.engine.client_jobs import drawn_jobs
from robustbench_fl.engine.jobs import Jobs, Recipe


class MadeData:
    """Data of k virtual clients with s samples each, client after client.

    Parameters
    ----------
    images : Tensor [k, s, channels, height, width]
        Inputs of the network.
    labels : int64 Tensor [k, s]
        Their classes.
    like : TrainingData
        Real data, for what brightness means and for the device.

    Raises
    ------
    UsageError
        If images and labels do not belong together.
    """

    def __init__(self, images: Tensor, labels: Tensor, like: TrainingData) -> None:
        if images.shape[:2] != labels.shape:
            raise UsageError(
                f"Virtual clients need a label an image: images are {list(images.shape)}, labels "
                f"{list(labels.shape)}; the first two numbers must agree."
            )
        self.n_clients, self.n_samples = labels.shape
        self.device, self.bright, self.dark = like.device, like.bright, like.dark
        self._images, self._labels = images.flatten(0, 1).to(self.device), labels.flatten().to(self.device)

    def images(self, indices: Tensor) -> Tensor:
        """Return images at `indices`, −1 yields any."""
        return self._images[indices.clamp(min=0)]

    def labels(self, indices: Tensor) -> Tensor:
        """Return the classes at `indices`, −1 yields any."""
        return self._labels[indices.clamp(min=0)]


def virtual_jobs(data: MadeData, recipe: Recipe, seed: int, round: int) -> Jobs:
    """Return the training of every virtual client by the clients' recipe.

    Parameters
    ----------
    data : MadeData
        Their samples.
    recipe, seed, round
        As in :func:`~robustbench_fl.engine.client_jobs.make_jobs`.
    """
    samples = torch.arange(data.n_clients * data.n_samples).view(data.n_clients, -1).numpy()
    names = [f"virtual {client}" for client in range(data.n_clients)]
    return drawn_jobs(list(samples), names, recipe, seed, round, data.device)
