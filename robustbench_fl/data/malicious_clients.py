"""In which order clients turn malicious: a larger share of attackers contains the smaller one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from robustbench_fl.core.seeding import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray


def malicious_order(dataset_text: str, partition_text: str, seed: int, n_clients: int) -> NDArray[np.int64]:
    """Return the clients in random order; the malicious ones are its first m.

    Parameters
    ----------
    dataset_text, partition_text : str
        Canonical texts.
    seed : int
        The cell's seed.
    n_clients : int
        Number of clients.
    """
    return _order(_stream(dataset_text, partition_text, seed), n_clients)


def placed_order(
    placement: Literal["random", "same_class"],
    dataset_text: str,
    partition_text: str,
    seed: int,
    counts: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the order in which clients turn malicious under an attack's placement.

    Parameters
    ----------
    placement : {"random", "same_class"}
        :func:`malicious_order`, or those first who have the largest share of one class, the class
        drawn from the same stream after that order, which also breaks ties.
    dataset_text, partition_text, seed
        As in :func:`malicious_order`.
    counts : int array [n_clients, n_classes]
        Samples of each class at each client.
    """
    rng = _stream(dataset_text, partition_text, seed)
    order = _order(rng, len(counts))
    if placement == "random":
        return order
    share = counts[:, rng.integers(counts.shape[1])] / counts.sum(axis=1)
    return order[np.argsort(-share[order], kind="stable")]


def _stream(dataset_text: str, partition_text: str, seed: int) -> np.random.Generator:
    return stream("malice", dataset_text, partition_text, seed)


def _order(rng: np.random.Generator, n_clients: int) -> NDArray[np.int64]:
    return rng.permutation(n_clients).astype(np.int64)
