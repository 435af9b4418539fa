"""Label skew by Dirichlet proportions (Hsu et al., 2019; Yurochkin et al., 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from annotated_types import Ge, Gt, Le

from robustbench_fl.api import Partition, PartitionError, Shown, register
from robustbench_fl.data.partitions._deal import deal
from robustbench_fl.data.shares import Shares
from robustbench_fl.data.strata import largest_remainder

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register("dirichlet", paper="Yurochkin 2019", year=2019)
@dataclass(frozen=True, kw_only=True)
class Dirichlet(Partition):
    """Each class is spread over the clients by proportions drawn from Dir(alpha).

    Sizes differ; a draw that leaves a client with too few samples is thrown away whole.

    Parameters
    ----------
    alpha : float
        Concentration; small is far from IID.
    min_samples : int
        Every client must have so many samples.
    tries : int
        Draws before giving up.

    References
    ----------
    .. [1] M. Yurochkin et al., "Bayesian Nonparametric Federated Learning of Neural Networks",
       ICML 2019, Section 4.
    .. [2] T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the Effects of Non-Identical Data
       Distribution for Federated Visual Classification", arXiv:1909.06335, 2019.
    """

    alpha: Annotated[float, Gt(0), Le(1e100), Shown()] = 0.1
    min_samples: Annotated[int, Ge(1)] = 1
    tries: Annotated[int, Ge(1)] = 1000

    def split(
        self, labels: NDArray[np.int64], n_classes: int, n_clients: int, rng: np.random.Generator
    ) -> Shares:
        """Draw until every client has enough."""
        sizes = np.bincount(labels, minlength=n_classes)
        best = -1
        for _ in range(self.tries if len(labels) >= self.min_samples * n_clients else 0):
            proportions = rng.dirichlet(np.full(n_clients, self.alpha), size=n_classes)
            counts = np.stack([largest_remainder(p, int(s)) for p, s in zip(proportions, sizes, strict=True)])
            smallest = int(counts.sum(axis=0).min())
            if smallest >= self.min_samples:
                return deal(labels, counts, rng)
            best = max(best, smallest)
        found = (
            f"in {self.tries} draws the smallest client had {best} at most"
            if best >= 0
            else f"there are only {len(labels)} samples"
        )
        raise PartitionError(
            f"dirichlet(alpha={self.alpha}): {n_clients} clients cannot all get "
            f"min_samples={self.min_samples} of {len(labels)} samples: {found}.\n"
            f"Use fewer clients, a larger alpha, or balanced_dirichlet (equal sizes)."
        )
