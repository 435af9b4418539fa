"""A few label-sorted shards a client (McMahan et al., 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge

from robustbench_fl.api import Partition, PartitionError, Shown, register

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register("shards", paper="McMahan 2017", year=2017)
@dataclass(frozen=True, kw_only=True)
class Shards(Partition):
    """The samples sorted by label, cut into equal shards, `k` random ones for each client.

    Parameters
    ----------
    k : int
        Shards a client; with 2, most clients see two classes.

    References
    ----------
    .. [1] B. McMahan et al., "Communication-Efficient Learning of Deep Networks from
       Decentralized Data", AISTATS 2017, Section 3.
    """

    k: Annotated[int, Ge(1), Shown()] = 2

    def split(
        self, labels: NDArray[np.int64], n_classes: int, n_clients: int, rng: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        """Sort, cut, and deal the shards at random."""
        if len(labels) < self.k * n_clients:
            raise PartitionError(
                f"shards(k={self.k}): {len(labels)} samples are too few for {self.k * n_clients} shards. "
                f"Use fewer clients or a smaller k."
            )
        shuffled = rng.permutation(len(labels))
        by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
        pieces = np.array_split(by_label, self.k * n_clients)
        hands = rng.permutation(len(pieces)).reshape(n_clients, self.k)
        return [np.sort(np.concatenate([pieces[s] for s in hand])) for hand in hands]
