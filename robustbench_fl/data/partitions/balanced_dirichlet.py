"""Label skew with equal client sizes (Pi et al., 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Gt, Le

from robustbench_fl.api import Partition, PartitionError, Shown, register
from robustbench_fl.data.partitions._deal import deal, nobody_empty
from robustbench_fl.data.partitions._sinkhorn import rounded_to_margins, scaled_to_margins
from robustbench_fl.data.shares import Shares
from robustbench_fl.data.strata import largest_remainder

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOOR = 1e-12
_DYNAFED_SWEEPS = 1000


@register("balanced_dirichlet", paper="Pi 2023", year=2023)
@dataclass(frozen=True, kw_only=True)
class BalancedDirichlet(Partition):
    """Dirichlet proportions of each class, rescaled until all clients have the same size.

    Parameters
    ----------
    alpha : float
        Concentration; small is far from IID.
    form : {"exact", "dynafed"}
        ``exact`` scales to the class sizes and equal client sizes, so that sizes differ by one
        at most whatever the classes. ``dynafed`` scales the proportions alone, client columns
        to 1 and then class rows to 1, 1000 times: equal sizes only if the classes are equal.

    Notes
    -----
    The matrix classes × clients, each class ~ Dir(alpha) with a floor of 1e-12, is balanced by
    Sinkhorn's alternating scaling and rounded to whole samples by the largest remainders.

    References
    ----------
    .. [1] R. Pi et al., "DynaFed: Tackling Client Data Heterogeneity with Global Dynamics",
       CVPR 2023, released code.
    .. [2] R. Sinkhorn, "Diagonal Equivalence to Matrices with Prescribed Row and Column Sums",
       American Mathematical Monthly 74(4), 1967.
    """

    alpha: Annotated[float, Gt(0), Le(1e100), Shown()] = 0.1
    form: Literal["exact", "dynafed"] = "exact"

    def split(
        self, labels: NDArray[np.int64], n_classes: int, n_clients: int, rng: np.random.Generator
    ) -> Shares:
        """Draw, balance, round, deal."""
        if len(labels) < n_clients:
            raise PartitionError(
                f"balanced_dirichlet: {len(labels)} samples are too few for {n_clients} clients. "
                f"Use fewer clients or more data."
            )
        sizes = np.bincount(labels, minlength=n_classes)
        drawn = rng.dirichlet(np.full(n_clients, self.alpha), size=n_classes)
        counts = (self._dynafed if self.form == "dynafed" else self._exact)(np.maximum(drawn, _FLOOR), sizes)
        return nobody_empty(deal(labels, counts, rng), f"balanced_dirichlet(alpha={self.alpha})")

    @staticmethod
    def _exact(drawn: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        clients = largest_remainder(np.ones(drawn.shape[1]), int(sizes.sum()))
        return rounded_to_margins(scaled_to_margins(drawn, sizes, clients), sizes, clients)

    @staticmethod
    def _dynafed(drawn: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        proportions = drawn
        for _ in range(_DYNAFED_SWEEPS):
            proportions = proportions / proportions.sum(axis=0)
            proportions = proportions / proportions.sum(axis=1, keepdims=True)
        return np.stack([largest_remainder(p, int(s)) for p, s in zip(proportions, sizes, strict=True)])
