"""Who holds which samples of a world, as positions in the training data. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustbench_fl.api import Arrays, Partition, Samples, build
from robustbench_fl.core.cell import World
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.seeding import stream
from robustbench_fl.data.partitions._deal import nobody_empty
from robustbench_fl.data.strata import Strata

Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Clients, validation split and root set: disjoint, and together all of the training data.

    Parameters
    ----------
    clients : sequence of int64 array
        Positions in the training data, one array a client.
    validation : int64 array
        Positions kept for choosing hyper-parameters.
    root : int64 array
        Positions of the server's own clean data.
    """

    clients: Sequence[Indices]
    validation: Indices
    root: Indices


def spread(world: World, arrays: Arrays, partition: Partition | None = None) -> Spread:
    """Take validation split and root set out of the training data and spread the rest.

    Both are stratified, and the same in every cell with this data set and seed. The root set is
    drawn after the validation split, so its size does not change the latter.

    Parameters
    ----------
    world : World
        What decides it. Its canonical texts name the random streams. A root size of ``None`` is one
        client's share: as many samples as a client holds on average.
    arrays : Arrays
        Its data set.
    partition : Partition, optional
        How the rest is spread; by default as the world says.

    Raises
    ------
    UsageError
        If validation split and root set leave too little for the clients.
    PartitionError
        If a client is left without samples.
    """
    dataset = build.content_text("datasets", world.dataset)
    partition = partition or build.make("partitions", world.partition)
    labels, n_classes = arrays.train_labels, arrays.n_classes
    n_validation, n_root = round(world.validation * len(labels)), world.root_size
    if n_root is None:
        n_root = (len(labels) - n_validation) // (world.clients + 1)
    if n_validation + n_root + world.clients > len(labels):
        raise UsageError(
            f"{dataset} has {len(labels)} training images: too few for a validation split of "
            f"{n_validation}, a root set of {n_root} and {world.clients} clients. "
            f"Lower root_size, validation or clients, or use more data."
        )
    strata = Strata(labels, n_classes, stream("holdout", dataset, world.seed))
    held_out, root, rest = strata.draw(n_validation), strata.draw(n_root), strata.rest()
    split = stream("split", dataset, world.partition, world.seed)
    columns = {name: values[rest] for name, values in arrays.columns.items()}
    samples = Samples(labels=labels[rest], n_classes=n_classes, columns=columns)
    parts = nobody_empty(partition.spread(samples, world.clients, split), world.partition)
    return Spread(clients=parts.within(rest), validation=held_out, root=root)
