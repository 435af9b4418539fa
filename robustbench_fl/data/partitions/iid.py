"""Samples spread at random, every client about as many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robustbench_fl.api import Partition, register
from robustbench_fl.data.partitions._deal import nobody_empty
from robustbench_fl.data.shares import Shares

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register("iid", paper="McMahan 2017", year=2017)
@dataclass(frozen=True, kw_only=True)
class Iid(Partition):
    """A random split into parts that differ by one sample at most.

    References
    ----------
    .. [1] H. B. McMahan et al., "Communication-Efficient Learning of Deep Networks from
       Decentralized Data", AISTATS 2017, Section 3.
    """

    def split(
        self, labels: NDArray[np.int64], n_classes: int, n_clients: int, rng: np.random.Generator
    ) -> Shares:
        """Shuffle and cut."""
        each, more = divmod(len(labels), n_clients)
        sizes = np.full(n_clients, each)
        sizes[:more] += 1
        return nobody_empty(Shares(rng.permutation(len(labels)), sizes), "iid")
