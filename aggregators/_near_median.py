"""The mean of the values nearest to the median, in sorted columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from robustbench_fl.aggregators._columns import median_of_sorted

if TYPE_CHECKING:
    from torch import Tensor


def mean_near_median(block: Tensor, count: int) -> Tensor:
    """Average in each column the `count` values nearest to the column's median.

    Parameters
    ----------
    block : Tensor [n, columns]
        Each column ascending.
    count : int
        Values averaged, from 1 to n. Of two values equally far, the smaller one counts as nearer.

    Returns
    -------
    Tensor [columns]
        The means.

    Notes
    -----
    The nearest values are neighbours in the sorted column: rows l … l + count − 1 for some l. Such
    a window holds exactly one row of each class ``i, i + count, i + 2 count, …``, and that is the
    one of its class nearest to the median. So a few comparisons of whole slices find the window's
    values, with neither a second sort nor indices, and nothing far away is ever summed up and
    subtracted again.
    """
    middle = median_of_sorted(block)
    nearest = block[:count]
    for start in range(count, len(block), count):
        later = block[start : start + count]
        earlier = nearest[: len(later)]
        nearer = torch.where(middle - earlier > later - middle, later, earlier)
        nearest = torch.cat((nearer, nearest[len(later) :]))
    return nearest.mean(0)
