"""Part IID, part sorted by label (Karimireddy et al., 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Le

from robustbench_fl.api import Partition, Shown, register
from robustbench_fl.data.partitions._deal import nobody_empty
from robustbench_fl.data.shares import Shares

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register("similarity", paper="Karimireddy 2020", year=2020)
@dataclass(frozen=True, kw_only=True)
class Similarity(Partition):
    """A share of the samples spread IID, the rest sorted by label and cut into contiguous parts.

    Parameters
    ----------
    gamma : float
        The IID share; 1 is IID, 0 is fully sorted.

    References
    ----------
    .. [1] S. P. Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated
       Learning", ICML 2020, Section 7.
    """

    gamma: Annotated[float, Ge(0), Le(1), Shown()] = 0.5

    def split(
        self, labels: NDArray[np.int64], n_classes: int, n_clients: int, rng: np.random.Generator
    ) -> Shares:
        """Shuffle, set the IID share apart, sort the rest, cut both."""
        shuffled = rng.permutation(len(labels))
        n_iid = round(self.gamma * len(labels))
        rest = shuffled[n_iid:]
        by_label = rest[np.argsort(labels[rest], kind="stable")]
        # Cut from the end, so that one sample more goes to other clients than in the IID share.
        parts = zip(
            np.array_split(shuffled[:n_iid], n_clients),
            np.array_split(by_label[::-1], n_clients)[::-1],
            strict=True,
        )
        return nobody_empty(
            [np.sort(np.concatenate(pair)) for pair in parts], f"similarity(gamma={self.gamma})"
        )
