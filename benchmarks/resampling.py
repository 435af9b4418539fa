"""What tables were made with before: percentile bootstrap over seeds, worst case picked on half of them.

Kept here alone, for comparison with ``robustbench_fl.analysis.inference``.
"""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SCORES = ("mean", "worst", "split-half worst")
_MOST_SPLITS = 20
_EQUAL = 1e-12


def scores(values: Array, weights: Array) -> Array:
    """Return the three :data:`SCORES` of each rule in each resample.

    Parameters
    ----------
    values : array of shape [n_rules, n_worlds, n_attacks, n_seeds]
        Without holes.
    weights : array of shape [n_worlds, n_resamples, n_seeds]
        How often each seed is drawn.

    Returns
    -------
    array of shape [3, n_rules, n_resamples]
    """
    parts = []
    for world, times in enumerate(weights):
        rows, where = np.unique(times, axis=0, return_inverse=True)
        block = values[:, world]
        means = _means(block, rows)
        found = np.stack([means.mean(axis=1), means.min(axis=1), _split_half(block, rows)])
        parts.append(found[..., where.reshape(-1)])
    averaged: Array = np.mean(parts, axis=0)
    return averaged


def draws(rng: np.random.Generator, n_worlds: int, n_resamples: int, n_seeds: int) -> Array:
    """Return how often each seed is drawn, each world by itself: [n_worlds, n_resamples, n_seeds]."""
    return rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), (n_worlds, n_resamples)).astype(float)


def _means(block: Array, weights: Array) -> Array:
    found: Array = block @ (weights / weights.sum(axis=1, keepdims=True)).T
    return found


def _split_half(block: Array, weights: Array) -> Array:
    """Return the accuracy on half of the seeds at the attack worst on the others, [rules, resamples]."""
    total = count = np.zeros(())
    for mask in _halves(weights.shape[1]):
        picking, reporting = weights * mask, weights * (1 - mask)
        valid = reporting.sum(axis=1) > 0
        picking = np.where(picking.sum(axis=1, keepdims=True) > 0, picking, mask)
        reporting = np.where(valid[:, None], reporting, 1 - mask)
        seen, told = _means(block, picking), _means(block, reporting)
        chosen = seen <= seen.min(axis=1, keepdims=True) + _EQUAL
        total = total + valid * np.where(chosen, told, 0).sum(axis=1) / chosen.sum(axis=1)
        count = count + valid
    averaged: Array = total / count
    return averaged


def _halves(n: int) -> Array:
    """Return the seeds that pick, a row a split; at most twenty."""
    sizes = {n // 2, n - n // 2}
    if sum(comb(n, size) for size in sizes) > _MOST_SPLITS:
        rng = np.random.default_rng(n)
        half = np.array([rng.permutation(n) < n // 2 for _ in range(_MOST_SPLITS // 2)])
        return np.concatenate([half, ~half]).astype(float)
    chosen = [seeds for size in sorted(sizes) for seeds in combinations(range(n), size)]
    return np.array([[float(seed in seeds) for seed in range(n)] for seeds in chosen])
