"""What is computed of accuracies [rules, attacks, seeds] for seeds of any weight.

A resample of n seeds is a vector of n weights (how often each seed was drawn), so a statistic is
computed once for each distinct vector: with five seeds there are only 126 of them.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from robustbench_fl.core.seeding import stream

MAX_SPLITS = 20
_CHUNK = 4_000_000
_EQUAL = 1e-12

Array = NDArray[np.float64]


def worst(values: Array, weights: Array) -> Array:
    """Return the minimum over attacks of the mean over seeds.

    Parameters
    ----------
    values : array of shape [n_rules, n_attacks, n_seeds]
        NaN in all seeds of an attack that does not apply to a rule.
    weights : array of shape [n_resamples, n_seeds]
        How often each seed counts; each row has a positive sum.

    Returns
    -------
    array of shape [n_rules, n_resamples]
    """
    means = _weighted_means(values, weights)
    lowest = np.where(np.isnan(means), np.inf, means).min(axis=1)
    return np.where(np.isinf(lowest), np.nan, lowest)


def mean(values: Array, weights: Array) -> Array:
    """Return the mean over attacks of the mean over seeds; shapes as in :func:`worst`."""
    means = _weighted_means(values, weights)
    known = ~np.isnan(means)
    count = known.sum(axis=1)
    total = np.where(known, means, 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def worst_honest(values: Array, weights: Array) -> Array:
    """Return the worst case whose attack was picked on other seeds than it is reported on.

    The seeds are split into two halves in every way (at most 20 ways); the attack with the lowest
    mean on one half is reported by its mean on the other, and splits are averaged. The plain
    minimum of noisy means is biased low and sinks with every further attack; this one is not.
    Attacks that are equally bad on the first half are averaged over.
    In a resample a half without any drawn seed picks by its plain mean; it cannot report.

    Parameters and result are those of :func:`worst`; at least two seeds.
    """
    splits = halves(values.shape[-1])
    n_rules, n_attacks, _ = values.shape
    step = max(1, _CHUNK // (n_rules * n_attacks * len(splits)))
    parts = [_honest(values, weights[i : i + step], splits) for i in range(0, len(weights), step)]
    return np.concatenate(parts, axis=1)


@cache
def halves(n_seeds: int) -> Array:
    """Return the splits as 0/1 masks of the seeds that pick, shape [n_splits, n_seeds].

    Both halves of a split take each role in turn. Of many splits a fixed random choice is kept.
    """
    sizes = {n_seeds // 2, n_seeds - n_seeds // 2}
    if sum(comb(n_seeds, size) for size in sizes) > MAX_SPLITS:  # never listed: 33 seeds have 10^9
        rng = stream("halves", n_seeds)
        half = [rng.permutation(n_seeds) < n_seeds // 2 for _ in range(MAX_SPLITS // 2)]
        return np.concatenate([np.array(half), ~np.array(half)]).astype(float)
    chosen = [seeds for size in sorted(sizes) for seeds in combinations(range(n_seeds), size)]
    masks = np.zeros((len(chosen), n_seeds))
    for mask, seeds in zip(masks, chosen, strict=True):
        mask[list(seeds)] = 1
    return masks


def _weighted_means(values: Array, weights: Array) -> Array:
    """Return means over seeds, [n_rules, n_attacks, n_weights]."""
    share: Array = weights / weights.sum(axis=-1, keepdims=True)
    means: Array = values @ share.T
    return means


def _honest(values: Array, weights: Array, splits: Array) -> Array:
    n_seeds = values.shape[-1]
    picking = weights[:, None, :] * splits
    picking = np.where(picking.sum(axis=-1, keepdims=True) > 0, picking, splits)
    reporting = weights[:, None, :] * (1 - splits)
    valid = reporting.sum(axis=-1) > 0
    reporting = np.where(valid[..., None], reporting, 1 - splits)
    seen = _weighted_means(values, picking.reshape(-1, n_seeds))
    told = _weighted_means(values, reporting.reshape(-1, n_seeds))
    ranked = np.where(np.isnan(seen), np.inf, seen)
    # Accuracies are shares of a few hundred images, so equal means are common and differ by rounding.
    chosen = (ranked <= ranked.min(axis=1, keepdims=True) + _EQUAL) & np.isfinite(ranked)
    with np.errstate(invalid="ignore"):  # a rule to which no attack of the block applies
        reported = np.where(chosen, told, 0).sum(axis=1) / chosen.sum(axis=1)
    reported = reported.reshape(len(values), *valid.shape)
    averaged: Array = (reported * valid).sum(axis=-1) / valid.sum(axis=-1)
    return averaged


def interquartile_mean(values: Array, weights: Array) -> Array:
    """Return the mean of the middle half of `values`.

    A value at the border of the middle half counts with the share that lies inside; of four
    equally weighted values the two in the middle count, of three the middle one and a quarter of
    either neighbour.

    Parameters
    ----------
    values : array of shape [n]
    weights : array of shape [n_resamples, n]
        Not negative.

    Returns
    -------
    array of shape [n_resamples]
        NaN where all weights are 0.

    References
    ----------
    .. [1] R. Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical
       Precipice", NeurIPS 2021, Section 4.3.
    """
    order = np.argsort(values, kind="stable")
    upto = np.cumsum(weights[:, order], axis=1)
    total = upto[:, -1:]
    inside = np.clip(upto, total / 4, 3 * total / 4)
    counted = np.diff(inside, axis=1, prepend=total / 4)
    with np.errstate(invalid="ignore"):
        middle: Array = (counted @ values[order]) / (total[:, 0] / 2)
    return middle
