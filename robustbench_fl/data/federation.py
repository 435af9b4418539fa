"""The world of a cell: who holds which samples, what the server holds, what is kept for testing."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_fl.api import Arrays, Partition, Samples
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import stream
from robustbench_fl.core.settings import Settings
from robustbench_fl.data.heterogeneity import SkewReport, label_counts, skew_report
from robustbench_fl.data.images import ImagePart, ImageStore
from robustbench_fl.data.malicious_clients import placed_order
from robustbench_fl.data.partitions._deal import nobody_empty
from robustbench_fl.data.rare import rarest
from robustbench_fl.data.strata import Strata

Indices = NDArray[np.int64]


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
    clients : tuple of int64 array
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
    clients: tuple[Indices, ...]
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
        return skew_report(self.arrays.train_labels, self.clients, self.n_classes)

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
        counts = label_counts(self.arrays.train_labels, self.clients, self.n_classes)
        return placed_order(placement, dataset_text, partition_text, seed, counts)

    def _positions(self, positions: Indices) -> Tensor:
        return torch.from_numpy(positions).to(self.device)


def make_federation(
    arrays: Arrays,
    partition: Partition,
    *,
    dataset_text: str,
    partition_text: str,
    n_clients: int,
    seed: int,
    root_size: int | None = Settings.root_size,
    validation: float = Settings.validation,
    device: str | torch.device = "cpu",
) -> Federation:
    """Take validation split and root set out of the training data and spread the rest.

    Both are stratified, and the same in every cell with this data set and seed. The root set is
    drawn after the validation split, so its size does not change the latter.

    Parameters
    ----------
    arrays : Arrays
        The data set.
    partition : Partition
        How the rest is spread.
    dataset_text, partition_text : str
        Canonical texts, which name the random streams.
    n_clients : int
        Number of clients.
    seed : int
        The cell's seed.
    root_size : int, optional
        Samples of the root set; by default one client's share: as many as a client holds on average.
    validation : float
        Share of the training data in the validation split, in [0, 1).
    device : str or torch.device
        Where the tensors are kept.

    Raises
    ------
    UsageError
        If validation split and root set leave too little for the clients.
    PartitionError
        If a client is left without samples.
    """
    labels, n_classes = arrays.train_labels, arrays.n_classes
    n_validation = round(validation * len(labels))
    if root_size is None:
        root_size = (len(labels) - n_validation) // (n_clients + 1)
    if n_validation + root_size + n_clients > len(labels):
        raise UsageError(
            f"{dataset_text} has {len(labels)} training images: too few for a validation split of "
            f"{n_validation}, a root set of {root_size} and {n_clients} clients. "
            f"Lower root_size, validation or clients, or use more data."
        )
    strata = Strata(labels, n_classes, stream("holdout", dataset_text, seed))
    held_out, root, rest = strata.draw(n_validation), strata.draw(root_size), strata.rest()
    split = stream("split", dataset_text, partition_text, seed)
    columns = {name: values[rest] for name, values in arrays.columns.items()}
    samples = Samples(labels=labels[rest], n_classes=n_classes, columns=columns)
    parts = nobody_empty(partition.spread(samples, n_clients, split), partition_text)

    def store(raw: NDArray[np.uint8] | NDArray[np.float32]) -> ImageStore:
        return ImageStore(raw, full_scale=arrays.full_scale, mean=arrays.mean, std=arrays.std, device=device)

    return Federation(
        arrays=arrays,
        train_images=store(arrays.train_images),
        train_labels=torch.from_numpy(labels).to(device),
        test_images=store(arrays.test_images),
        test_labels=torch.from_numpy(arrays.test_labels).to(device),
        clients=tuple(rest[part] for part in parts),
        validation=held_out,
        root=root,
    )
