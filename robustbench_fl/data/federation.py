"""The world of a cell: who holds which samples, what the server holds, what is kept for testing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from robustbench_fl.api import Arrays
from robustbench_fl.data.heterogeneity import SkewReport, label_counts, skew_of
from robustbench_fl.data.images import ImagePart, ImageStore
from robustbench_fl.data.malicious_clients import placed_order
from robustbench_fl.data.rare import rarest
from robustbench_fl.data.spread import Indices, Spread

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Federation:
    """The data of a cell on its device, and how they are shared out.

    Clients, validation split and root set are disjoint and together all of the training data.

    Parameters
    ----------
    arrays : Arrays
        What the federation was made from.
    train_images, test_images : ImageStore
        Images of the two splits, on the device.
    train_labels, test_labels : int64 Tensor [N]
        Their classes, likewise.
    clients : sequence of int64 array
        Positions in the training data, one array a client.
    validation : int64 array
        Positions kept for choosing hyper-parameters.
    root : int64 array
        Positions of the server's own clean data.
    """

    arrays: Arrays
    train_images: ImageStore
    train_labels: Tensor
    test_images: ImageStore
    test_labels: Tensor
    clients: Sequence[Indices]
    validation: Indices
    root: Indices
    _rare: dict[tuple[int, float], tuple[Tensor, Tensor]] = field(default_factory=dict, compare=False)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.arrays.n_classes

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Channels, height, width."""
        return self.train_images.shape

    @property
    def bright(self) -> Tensor:
        """Full brightness after normalisation, float32 [channels]: the value of trigger pixels."""
        return self.train_images.bright

    @property
    def dark(self) -> Tensor:
        """Black after normalisation, float32 [channels]: what lies around an image."""
        return self.train_images.dark

    @property
    def device(self) -> str:
        """Where images and labels are, ``"cpu"`` or ``"cuda:0"``."""
        return str(self.train_labels.device)

    @cached_property
    def report(self) -> SkewReport:
        """How non-IID the clients are."""
        return skew_of(self.label_counts)

    @cached_property
    def largest_client(self) -> int:
        """Samples of the client that has most."""
        return max(map(len, self.clients))

    @cached_property
    def label_counts(self) -> NDArray[np.int64]:
        """Samples of each class that each client has, [n_clients, n_classes]."""
        return label_counts(self.arrays.train_labels, self.clients, self.n_classes)

    def images(self, indices: Tensor) -> Tensor:
        """Return normalised training images [..., channels, height, width].

        Parameters
        ----------
        indices : int64 Tensor [...]
            Positions in the training data; −1 stands for padding and yields any image.
        """
        return self.train_images[indices]

    def labels(self, indices: Tensor) -> Tensor:
        """Return the classes at `indices`, with padding as in :meth:`images`."""
        return self.train_labels[indices.clamp(min=0)]

    def validation_data(self) -> tuple[ImagePart, Tensor]:
        """Return the validation split: images, normalised as they are read, and labels [v]."""
        indices = self._positions(self.validation)
        return ImagePart(self.train_images, indices), self.labels(indices)

    def client_data(self, client: int) -> tuple[Tensor, Tensor]:
        """Return images [k, channels, height, width], normalised, and classes [k] of one client's data."""
        positions = self._positions(self.clients[client])
        return self.images(positions), self.labels(positions)

    def rare(self, source: int, share: float) -> tuple[Tensor, Tensor]:
        """Return the positions of the rarest images of class `source` in training and test data.

        Both by the density of the class's training images; see :mod:`robustbench_fl.data.rare`.

        Parameters
        ----------
        source : int
            The class; empty positions for one without training images.
        share : float
            Share of its images that is rare.
        """
        if (source, share) not in self._rare:
            train = (self.train_labels == source).nonzero().flatten()
            test = (self.test_labels == source).nonzero().flatten()
            if len(train):
                fitted = self.images(train).flatten(1)
                train = train[rarest(fitted, fitted, share)]
                test = test[rarest(self.test_images[test].flatten(1), fitted, share)]
            self._rare[source, share] = train, test
        return self._rare[source, share]

    def root_data(self) -> tuple[Tensor, Tensor]:
        """Return the root set: normalised images [r, ...] and labels [r]."""
        indices = self._positions(self.root)
        return self.images(indices), self.labels(indices)

    def malicious_order(
        self,
        dataset_text: str,
        partition_text: str,
        seed: int,
        *,
        placement: Literal["random", "same_class"] = "random",
    ) -> Indices:
        """Return the clients in the order in which they turn malicious; see :func:`placed_order`."""
        return placed_order(placement, dataset_text, partition_text, seed, self.label_counts)

    def _positions(self, positions: Indices) -> Tensor:
        return torch.from_numpy(positions).to(self.device)


def make_federation(arrays: Arrays, held: Spread, *, device: str | torch.device = "cpu") -> Federation:
    """Return the data of a world on its device.

    Parameters
    ----------
    arrays : Arrays
        The data set.
    held : Spread
        Who holds what of it.
    device : str or torch.device
        Where the tensors are kept.
    """

    def store(raw: NDArray[np.uint8] | NDArray[np.float32]) -> ImageStore:
        return ImageStore(raw, full_scale=arrays.full_scale, mean=arrays.mean, std=arrays.std, device=device)

    return Federation(
        arrays=arrays,
        train_images=store(arrays.train_images),
        train_labels=torch.from_numpy(arrays.train_labels).to(device),
        test_images=store(arrays.test_images),
        test_labels=torch.from_numpy(arrays.test_labels).to(device),
        clients=held.clients,
        validation=held.validation,
        root=held.root,
    )
