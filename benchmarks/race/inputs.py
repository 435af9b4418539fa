"""What every peer is given: the same images, cohorts, batches and start. Needs NumPy and torch alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from race.networks import NETWORKS, load

DATA, TASK = "data.npz", "task.npz"
LR = 0.1
EVALUATE_EVERY = 5


class Inputs:
    """The protocol of one network.

    Parameters
    ----------
    folder : Path
        Where ``race/prepare.py`` wrote the arrays.
    network : str
        A name of :data:`~race.networks.NETWORKS`.

    Attributes
    ----------
    cohorts : int64 array [rounds, cohort]
        Users of each round.
    batches : int64 array [rounds, cohort, steps, batch]
        Training-set index of every sample of every step.
    """

    def __init__(self, folder: Path, network: str) -> None:
        with np.load(folder / TASK) as task:
            self.cohorts, self.batches = task["cohorts"], task["batches"]
            self.start = torch.from_numpy(task[f"start_{network}"])
            scale, shift = (torch.from_numpy(task[name]).view(-1, 1, 1) for name in ("scale", "shift"))
        self._scale, self._shift = scale, shift
        self._network = network
        with np.load(folder / DATA) as data:
            train = torch.from_numpy(np.ascontiguousarray(data["x_train"].transpose(0, 3, 1, 2)))
            self.train_labels = torch.from_numpy(data["y_train"])
            test = torch.from_numpy(np.ascontiguousarray(data["x_test"].transpose(0, 3, 1, 2)))
            self.test_labels = torch.from_numpy(data["y_test"])
        self._train = train
        self.test_images = self._normalised(test)

    def module(self) -> nn.Sequential:
        """Return the network with the parameters that all peers start from."""
        made = NETWORKS[self._network][1]()
        load(made, self.start)
        return made

    def batch(self, index: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return normalised images [n, channels, height, width] and classes [n] of samples [n]."""
        at = torch.from_numpy(index)
        return self._normalised(self._train[at]), self.train_labels[at]

    def _normalised(self, raw: Tensor) -> Tensor:
        return raw.float().mul_(self._scale).add_(self._shift)
