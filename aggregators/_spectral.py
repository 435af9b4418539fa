"""The direction in which rows spread most, from their Gram matrix."""

from __future__ import annotations

import numpy as np


def principal_projections(gram: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Project rows onto the top eigenvector of their weighted covariance.

    Parameters
    ----------
    gram : float64 ndarray [n, n]
        Inner products ``⟨u_i − c, u_j − c⟩`` of the rows after any c is subtracted from all.
    weights : float64 ndarray [n]
        Weight of each row, positive, of any sum.

    Returns
    -------
    variance : float
        The top eigenvalue λ of ``Σ w_i (u_i − μ)(u_i − μ)ᵀ`` with ``w = weights / Σ weights`` and
        ``μ = Σ w_i u_i``.
    projections : float64 ndarray [n]
        ``⟨u_i − μ, v⟩`` for the unit eigenvector v of λ, whose sign is arbitrary; zeros if λ is zero.

    Notes
    -----
    v is ``Σ √w_i a_i (u_i − μ) / √λ`` for the top eigenvector a of the n by n matrix of the products
    ``√w_i √w_j ⟨u_i − μ, u_j − μ⟩``, so vectors as long as the rows are never formed.
    """
    from scipy.linalg import eigh

    shares = weights / weights.sum()
    to_mean = gram @ shares
    products = gram - to_mean[:, None] - to_mean + shares @ to_mean
    roots = np.sqrt(shares)
    last = len(gram) - 1
    values, vectors = eigh(products * roots[:, None] * roots, subset_by_index=(last, last))
    variance = float(values[0])
    if variance <= 0:
        return 0.0, np.zeros_like(shares)
    return variance, products @ (roots * vectors[:, 0]) / np.sqrt(variance)
