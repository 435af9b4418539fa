"""From a table of counts, classes × clients, to the samples of each client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from robustbench_fl.api import PartitionError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def deal(
    labels: NDArray[np.int64], counts: NDArray[np.int64], rng: np.random.Generator
) -> list[NDArray[np.int64]]:
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
    list of int64 array
        Sorted positions in `labels`, one array a client.
    """
    parts: list[list[NDArray[np.int64]]] = [[] for _ in range(counts.shape[1])]
    for c, row in enumerate(counts):
        members = rng.permutation(np.flatnonzero(labels == c))
        for part, piece in zip(parts, np.split(members, np.cumsum(row)[:-1]), strict=True):
            part.append(piece)
    return [np.sort(np.concatenate(part)) for part in parts]


def nobody_empty(parts: Sequence[NDArray[np.int64]], partition: str) -> list[NDArray[np.int64]]:
    """Return `parts`, or refuse them if a client has no samples.

    Raises
    ------
    PartitionError
        With the number of clients left empty and what to change.
    """
    empty = [i for i, part in enumerate(parts) if len(part) == 0]
    if empty:
        raise PartitionError(
            f"{partition} leaves {len(empty)} of {len(parts)} clients without samples "
            f"(client {empty[0]} first), with {sum(map(len, parts))} samples to spread.\n"
            f"Use fewer clients, more data, or a milder partition."
        )
    return list(parts)
