"""The directions in which rows spread most, from their Gram matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robustbench_fl.aggregators._distances import centred_gram

if TYPE_CHECKING:
    from torch import Tensor


def main_components(rows: Tensor, count: int = 2) -> np.ndarray:
    """Return the rows' coordinates along the directions in which they spread most.

    Parameters
    ----------
    rows : Tensor [n, d]
        Any.
    count : int
        Directions.

    Returns
    -------
    float64 array [n, count]
        Of the centred rows (principal components), by falling spread; the largest coordinate of each
        direction is positive.
    """
    gram = centred_gram(rows).cpu().numpy()
    # Of rows less one of them; less their mean here.
    gram = gram - gram.mean(0) - gram.mean(1)[:, None] + gram.mean()
    values, vectors = np.linalg.eigh(gram)
    points: np.ndarray = vectors[:, ::-1][:, :count] * np.sqrt(values[::-1][:count].clip(min=0))
    largest = points[np.abs(points).argmax(0), np.arange(points.shape[1])]
    return points * np.where(largest < 0, -1.0, 1.0)
