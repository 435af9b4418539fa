"""From a table of counts, classes × clients, to the samples of each client."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robustbench_fl.api import PartitionError
from robustbench_fl.data.shares import Shares


def deal(labels: NDArray[np.int64], counts: NDArray[np.int64], rng: np.random.Generator) -> Shares:
    """Hand the samples of each class out in random order.

    Parameters
    ----------
    labels : int array [N]
        Classes of the samples.
    counts : int array [n_classes, n_clients]
        How many samples of each class each client gets; every row sums to the class's size.
    rng : numpy.random.Generator
        Decides which samples.

    Returns
    -------
    Shares
        Sorted positions in `labels`, one array a client.
    """
    owners = np.empty(len(labels), np.int64)
    clients = np.arange(counts.shape[1])
    for c, row in enumerate(counts):
        owners[rng.permutation(np.flatnonzero(labels == c))] = np.repeat(clients, row)
    return Shares.owned(owners, len(clients))


def nobody_empty(parts: Sequence[NDArray[np.int64]], partition: str) -> Shares:
    """Return `parts`, or refuse them if a client has no samples.

    Raises
    ------
    PartitionError
        With the number of clients left empty and what to change.
    """
    shares = Shares.of(parts)
    empty = np.flatnonzero(shares.sizes == 0)
    if len(empty):
        raise PartitionError(
            f"{partition} leaves {len(empty)} of {len(shares)} clients without samples "
            f"(client {empty[0]} first), with {len(shares.members)} samples to spread.\n"
            f"Use fewer clients, more data, or a milder partition."
        )
    return shares
