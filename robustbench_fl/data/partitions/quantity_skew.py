"""Clients of very different sizes with the same classes (Li et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from robustbench_fl.api import Partition, PartitionError, Shown, register
from robustbench_fl.data.strata import largest_remainder

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register("quantity_skew", paper="Li 2022", year=2022)
@dataclass(frozen=True, kw_only=True)
class QuantitySkew(Partition):
    """Sizes in proportions drawn from Dir(beta) over the clients; who gets which sample is random.

    Parameters
    ----------
    beta : float
        Concentration; small is a few large clients among many tiny ones, large is ``iid``.
    min_samples : int
        Every client has so many before the rest is spread by the proportions, in place of
        throwing away draws that leave somebody without.

    References
    ----------
    .. [1] Q. Li, Y. Diao, Q. Chen, B. He, "Federated Learning on Non-IID Data Silos: An
       Experimental Study", ICDE 2022, Section IV (quantity skew; 0.5 in their runs).
    """

    beta: Annotated[float, Gt(0), Le(1e100), Shown()] = 0.5
    min_samples: Annotated[int, Ge(1)] = 1

    def split(
        self, labels: NDArray[np.int64], n_classes: int, n_clients: int, rng: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        """Draw the sizes, shuffle, cut."""
        spare = len(labels) - self.min_samples * n_clients
        if spare < 0:
            raise PartitionError(
                f"quantity_skew(beta={self.beta}): {len(labels)} samples are too few for {n_clients} clients "
                f"with min_samples={self.min_samples} each. Use fewer clients or more data."
            )
        proportions = rng.dirichlet(np.full(n_clients, self.beta))
        sizes = self.min_samples + largest_remainder(proportions, spare)
        shuffled = rng.permutation(len(labels))
        return [np.sort(part) for part in np.split(shuffled, np.cumsum(sizes)[:-1])]
