"""One preferred class a group of clients (Fang et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Le

from robustbench_fl.api import Partition, PartitionError, Shown, register
from robustbench_fl.data.partitions._deal import nobody_empty
from robustbench_fl.data.shares import Shares

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register("label_bias", paper="Fang 2020", year=2020)
@dataclass(frozen=True, kw_only=True)
class LabelBias(Partition):
    """As many groups of clients as classes; a sample prefers the group of its own class.

    Client i belongs to group i modulo the number of classes.

    Parameters
    ----------
    q : float
        Probability that a sample goes to the group of its class; every other group gets it
        with (1 − q) / (classes − 1). One over the number of classes is IID.

    References
    ----------
    .. [1] M. Fang, X. Cao, J. Jia, N. Z. Gong, "Local Model Poisoning Attacks to
       Byzantine-Robust Federated Learning", USENIX Security 2020, Section 4.1.
    """

    q: Annotated[float, Ge(0), Le(1), Shown()] = 0.5

    def split(
        self, labels: NDArray[np.int64], n_classes: int, n_clients: int, rng: np.random.Generator
    ) -> Shares:
        """Draw a group for each sample, then a client of the group."""
        if n_clients < n_classes:
            raise PartitionError(
                f"label_bias needs a client for each of the {n_classes} classes, found {n_clients}. "
                f"Use more clients or another partition."
            )
        away = rng.random(len(labels)) >= self.q
        group = np.where(away, (labels + rng.integers(1, n_classes, len(labels))) % n_classes, labels)
        members = (n_clients - 1 - np.arange(n_classes)) // n_classes + 1
        client = group + n_classes * rng.integers(0, members[group])
        return nobody_empty(Shares.owned(client, n_clients), f"label_bias(q={self.q})")
