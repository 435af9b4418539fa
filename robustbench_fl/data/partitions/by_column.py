"""A client for each group of people who wrote the data (Caldas et al., 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from robustbench_fl.api import Partition, PartitionError, Samples, Shown, register

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register("by_column", paper="Caldas 2018", year=2018)
@dataclass(frozen=True, kw_only=True)
class ByColumn(Partition):
    """Samples that agree in a column, such as who wrote them, stay together at one client.

    The column's values are dealt at random, equally many to each client (to one); with as many
    clients as values, each client is one of them. How many samples a client has, and of which
    classes, is then as natural as the data.

    Parameters
    ----------
    column : str
        A column of the data set: ``users`` is the array ``users_train`` of ``npz``.

    References
    ----------
    .. [1] S. Caldas et al., "LEAF: A Benchmark for Federated Settings", arXiv:1812.01097, 2018,
       Section 3 (FEMNIST, by writer).
    """

    column: Annotated[str, Shown()] = "users"

    def spread(self, samples: Samples, n_clients: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Deal the column's values, then hand each client the samples of its own."""
        if self.column not in samples.columns:
            known = ", ".join(sorted(samples.columns)) or "none"
            raise PartitionError(
                f"by_column(column={self.column}): the data set has no column {self.column!r} "
                f"(it has: {known}).\n"
                f"Use a data set that has one, such as npz with an array {self.column}_train."
            )
        values, of_sample = np.unique(samples.columns[self.column], return_inverse=True)
        if len(values) < n_clients:
            raise PartitionError(
                f"by_column(column={self.column}): {len(values)} different values are too few for "
                f"{n_clients} clients. Use at most {len(values)} clients."
            )
        owner = np.empty(len(values), dtype=np.int64)
        for client, hand in enumerate(np.array_split(rng.permutation(len(values)), n_clients)):
            owner[hand] = client
        return [np.flatnonzero(owner[of_sample] == client) for client in range(n_clients)]

    def split(
        self, labels: NDArray[np.int64], n_classes: int, n_clients: int, rng: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        """Refuse: labels alone do not say who wrote what."""
        return self.spread(Samples(labels=labels, n_classes=n_classes), n_clients, rng)
