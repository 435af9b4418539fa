"""RFLBAT (Wang et al., 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import torch
from annotated_types import Ge, Gt

from robustbench_fl.aggregators._components import main_components
from robustbench_fl.aggregators._directions import direction_distances
from robustbench_fl.aggregators._filtering import average_of
from robustbench_fl.aggregators._means import k_means
from robustbench_fl.aggregators._rows import row_norms
from robustbench_fl.api import Aggregation, Aggregator, ServerView, register

if TYPE_CHECKING:
    from torch import Tensor


def rflbat(
    updates: Tensor,
    rng: np.random.Generator,
    *,
    first: float = 10.0,
    second: float = 4.0,
    clusters: int = 9,
    references: int = 5,
) -> Tensor:
    """Average the cluster of updates that resemble each other least, outliers left out before and after.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    rng : numpy.random.Generator
        Draws the reference sets of the gap statistic.
    first, second, clusters, references
        As for :class:`RFLBAT`.

    Returns
    -------
    Tensor [d]
        The aggregate.
    """
    kept = accepted(updates, rng, first, second, clusters, references)
    return average_of(updates, kept).aggregate


@register("rflbat", paper="Wang 2022", year=2022, cost="n²d")
@dataclass(frozen=True, kw_only=True)
class RFLBAT(Aggregator):
    """Take the cluster of updates that resemble each other least: backdoored ones are alike.

    Updates are reduced to their two main components. Clients whose summed distance from the others is
    `first` times the median or more are accused. The others are split by k-means, with as many clusters
    as the gap statistic finds; the one whose clients have the lowest median of mean cosines is taken, and
    in it those at `second` times the median distance or more are accused too. Who is left is averaged.

    Parameters
    ----------
    first, second : float
        Multiples of the median summed distance, before and after clustering.
    clusters : int
        Clusters at most.
    references : int
        Sets of uniform points that the gap statistic compares with.

    Notes
    -----
    A single client counts as wholly alike, as copies are: its cluster is not taken while another is less
    alike. Works on what is more alike than honest clients are: identical colluders; a minority that is less
    alike than the honest is taken for honest. Beside a row more than 10⁷ times as long as the others the
    second component is rounding. Time O(n² d), extra memory one block of columns.

    Faithfulness
    ------------
    Release: none by the authors.
    Compared: formulas, line by line, with three ports: that of BackdoorIndicator's authors
        (``github.com/ybdai7/Backdoor-indicator-defense`` at 04dec87,
        ``participants/servers/RflbatServer.py``), BackFed (``github.com/thinh-dao/BackFed`` at ab3bcbd,
        ``backfed/servers/rflbat_server.py``) and ``github.com/jiankeyan13/SafeFL`` at 20e9a55
        (``core/server/screener/rflbat.py``).
    Difference: not measured.
    On purpose: components are those of the centred updates, exact; the gap statistic sums squared distances
        over all members of a cluster, as Tibshirani et al. define it, where the first port takes the
        distance of a cluster's first member for all. 10, 4, 9 and 5 are the ports' values.
    Elsewhere: the third port uses 4 and 2, and always two clusters.

    References
    ----------
    .. [1] Y. Wang, D. Zhai, Y. Zhan and Y. Xia, "RFLBAT: A Robust Federated Learning Algorithm against
       Backdoor Attack", arXiv 2201.03772, 2022.
    """

    first: Annotated[float, Gt(1)] = 10.0
    second: Annotated[float, Gt(1)] = 4.0
    clusters: Annotated[int, Ge(1)] = 9
    references: Annotated[int, Ge(1)] = 5

    detector: ClassVar[bool] = True
    translation: ClassVar[bool] = False

    def aggregate(self, updates: Tensor, view: ServerView, state: None) -> tuple[Aggregation, None]:
        """Return the mean of the cluster taken."""
        kept = accepted(updates, view.rng, self.first, self.second, self.clusters, self.references)
        return average_of(updates, kept), None


def accepted(
    updates: Tensor, rng: np.random.Generator, first: float, second: float, clusters: int, references: int
) -> Tensor:
    """Return who is left, a bool Tensor [n]; see :class:`RFLBAT`."""
    # In the order of their norms, so that the order of the rows does not matter to the starts of k-means.
    order = row_norms(updates).argsort(stable=True)
    points = main_components(updates[order])
    cosines = 1 - direction_distances(updates)[order][:, order].cpu().numpy()
    left = np.flatnonzero(near(points, first))
    labels = k_means(points[left], n_clusters(points[left], rng, clusters, references))
    left = left[labels == least_alike(cosines[np.ix_(left, left)], labels)]
    left = left[near(points[left], second)]
    kept = torch.zeros(len(updates), dtype=torch.bool, device=updates.device)
    kept[order[torch.from_numpy(left).to(order.device)]] = True
    return kept


def near(points: np.ndarray, limit: float) -> np.ndarray:
    """Return whose summed distance from the others is below `limit` medians, a bool array [n]."""
    scale = np.abs(points).max(initial=0)
    scaled = points / scale if scale > 0 else points
    sums = np.sqrt(np.square(scaled[:, None] - scaled).sum(2)).sum(1)
    # All in one point are near each other.
    close: np.ndarray = (sums < limit * np.median(sums)) | (sums == 0)
    return close


def n_clusters(points: np.ndarray, rng: np.random.Generator, most: int, references: int) -> int:
    """Return how many clusters the gap statistic finds, the first k with ``gap_k ≥ gap_{k+1} − s_{k+1}``.

    Parameters
    ----------
    points : float array [n, 2]
        Scaled to [0, 1] in each direction.
    rng : numpy.random.Generator
        Draws the reference sets.
    most : int
        Clusters at most.
    references : int
        Number of reference sets.
    """
    low, spread = points.min(0), np.ptp(points, axis=0)
    scaled = (points - low) / np.where(spread > 0, spread, 1)
    drawn = rng.uniform(size=(references, *points.shape))
    before = None
    for k in range(1, min(most, len(points) - 1) + 1):
        logs = np.log([_inertia(reference, k) for reference in drawn])
        gap = float(logs.mean() - np.log(_inertia(scaled, k)))
        if before is not None and before >= gap - float(logs.std()) * np.sqrt(1 + 1 / references):
            return k - 1
        before = gap
    return max(1, min(most, len(points) - 1))


def least_alike(cosines: np.ndarray, labels: np.ndarray) -> int:
    """Return the cluster with the lowest median of its clients' mean cosines, itself included.

    Parameters
    ----------
    cosines : float array [n, n]
        Between the clients.
    labels : int array [n]
        Their clusters. One of a single client counts as 1.
    """
    scores = []
    for label in range(labels.max() + 1):
        members = labels == label
        alone = members.sum() <= 1
        scores.append(1.0 if alone else float(np.median(cosines[np.ix_(members, members)].mean(1))))
    return int(np.argmin(scores))


def _inertia(points: np.ndarray, k: int) -> float:
    labels = k_means(points, k, starts=1)
    centres = np.stack([points[labels == label].mean(0) for label in range(labels.max() + 1)])
    return max(float(np.square(points - centres[labels]).sum()), 1e-12)
