"""Percentile bootstrap over seeds, stratified by setting, and binomial intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustbench_fl.analysis.estimators import Array
from robustbench_fl.core.seeding import stream

LEVEL = 0.95
RESAMPLES = 1000

Drawn = NDArray[np.intp]


def bootstrapped(
    statistic: Callable[..., Array], sizes: Sequence[int], label: str, n_resamples: int = RESAMPLES
) -> Array:
    """Return `statistic` on resampled seeds; each stratum is resampled on its own.

    Parameters
    ----------
    statistic : callable
        Takes for each stratum the positions of the seeds drawn, int [n_resamples, n_seeds], and the
        keyword ``axis`` (-1); returns [..., n_resamples].
    sizes : sequence of int
        Seeds of each stratum, at least two.
    label : str
        Names the random stream, so that the result is the same every time.
    n_resamples : int, optional

    Returns
    -------
    array of shape [..., n_resamples]
    """
    from scipy.stats import bootstrap

    strata = tuple(np.arange(size) for size in sizes)
    options: dict[str, Any] = {"vectorized": True, "method": "percentile", "n_resamples": n_resamples}
    done = bootstrap(strata, statistic, **options, random_state=stream("bootstrap", label))
    samples: Array = done.bootstrap_distribution
    return samples


def draws(n_seeds: int, label: str) -> Array:
    """Return how often each of `n_seeds` seeds is drawn in each resample, [n_resamples, n_seeds]."""

    def counts(places: Drawn, axis: int) -> Array:
        # places: [n_resamples, n_seeds]; scipy wants the resamples along the last axis.
        times: Array = (places[..., None] == np.arange(n_seeds)).sum(axis=-2).astype(float)
        return times.T

    return bootstrapped(counts, [n_seeds], label).T


def distinct(weights: Array) -> tuple[Array, Drawn]:
    """Return the distinct rows of `weights` and, for each row, which of them it is."""
    rows, inverse = np.unique(weights, axis=0, return_inverse=True)
    return rows, inverse.reshape(-1)


def interval(samples: Array, level: float = LEVEL) -> tuple[Array, Array]:
    """Return the percentile interval over the last axis of `samples`."""
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=-1)
    return low, high


def mean_interval(groups: Sequence[Array], label: str = "mean") -> tuple[float, float]:
    """Return the 95 % interval of the mean over groups of the mean over seeds.

    Parameters
    ----------
    groups : sequence of arrays
        One value for each seed, a group (stratum) for each setting; seeds are resampled inside
        their group. At least two seeds each.
    label : str, optional
        Names the random stream, so that the result is the same every time.
    """
    weights = _mean_weights(tuple(len(group) for group in groups), label)
    low, high = interval(weights @ np.concatenate(groups))
    return float(low), float(high)


def paired_draws(n_seeds: int, n_groups: int, label: str = "mean") -> Array:
    """Return how often :func:`mean_interval` draws each seed of equally large groups.

    Shape [n_groups, n_resamples, n_seeds]. The draws of the first groups do not depend on how many
    follow, so that a renderer can make the same intervals for any of them.
    """

    def counts(*drawn: Drawn, axis: int) -> Array:
        times = [(places[..., None] == np.arange(n_seeds)).sum(axis=-2) for places in drawn]
        found: Array = np.moveaxis(np.stack(times).astype(float), 1, -1)
        return found

    return np.moveaxis(bootstrapped(counts, [n_seeds] * n_groups, label), -1, 1)


@lru_cache(maxsize=256)
def _mean_weights(sizes: tuple[int, ...], label: str) -> Array:
    """Return what each value weighs in each resample, [n_resamples, sum of sizes]; rows sum to 1.

    Many differences have strata of the same sizes, and then meet the same resamples.
    """

    def shares(*drawn: Drawn, axis: int) -> Array:
        parts = [
            (places[..., None] == np.arange(size)).sum(axis=-2) / (size * len(sizes))
            for places, size in zip(drawn, sizes, strict=True)
        ]
        together: Array = np.concatenate(parts, axis=-1)
        return together.T

    return bootstrapped(shares, sizes, label).T


def binomial_interval(rate: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a rate seen among `n` clients.

    Examples
    --------
    No false ban among 70 clients still allows 5 %:

    >>> round(binomial_interval(0.0, 70)[1], 2)
    0.05
    """
    from scipy.stats import beta

    hits, tail = rate * n, (1 - level) / 2
    low = beta.ppf(tail, hits, n - hits + 1) if hits > 0 else 0.0
    high = beta.ppf(1 - tail, hits + 1, n - hits) if hits < n else 1.0
    return float(low), float(high)
