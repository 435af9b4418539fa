"""How many seeds it takes to see a difference."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from robustbench_fl.analysis.picks import Array

ALPHA, POWER = 0.05, 0.8
MOST = 10_000
"""More seeds than that are as good as never."""
_EQUAL = 1e-12
_CERTAIN = 1000.0
"""Of a larger t nobody asks how many seeds it takes."""
_POINTS = 2000
_EXACT = 1e-12


def power_of(n: int, effect: float, alpha: float = ALPHA) -> float:
    """Return the power of a paired, two-sided t-test of `n` differences.

    Parameters
    ----------
    n : int
        Differences, at least 2.
    effect : float
        Mean of the differences over their standard deviation.
    alpha : float, optional

    References
    ----------
    .. [1] J. Cohen, "Statistical Power Analysis for the Behavioral Sciences", 2nd ed., 1988, ch. 2.
    """
    from scipy.special import nctdtr, stdtrit  # scipy.stats takes half a second of CPU to import

    critical = stdtrit(n - 1, 1 - alpha / 2)
    centre = abs(effect) * np.sqrt(n)
    # The other tail; scipy gives NaN where it is too small to be told.
    return float(1 - nctdtr(n - 1, centre, critical) + np.nan_to_num(nctdtr(n - 1, centre, -critical)))


def seeds_needed(differences: Array, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Return the fewest seeds with which a paired, two-sided t-test would see this difference.

    Parameters
    ----------
    differences : array of shape [n_seeds]
        One paired difference for each seed, at least two; their mean and spread are taken for true.
    alpha, power : float, optional

    Returns
    -------
    int or None
        At least 2; None if there is no difference, or more than 10,000 seeds would be needed.

    Examples
    --------
    A difference as large as its standard deviation:

    >>> seeds_needed(np.array([0.0, 1.0, 2.0]))
    10
    """
    return seeds_for(_effect(differences), alpha, power)


def seeds_for(effect: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Return the fewest seeds with which a paired, two-sided t-test sees an effect.

    Parameters
    ----------
    effect : float
        Mean of the differences over their standard deviation; only its size counts.
    alpha, power : float, optional

    Returns
    -------
    int or None
        At least 2; None for no effect, or where more than 10,000 seeds would be needed.

    Examples
    --------
    >>> seeds_for(1.0), seeds_for(0.0)
    (10, None)
    """
    if effect == 0:
        return None
    low, high = 1, 2
    while power_of(high, effect, alpha) < power:
        low, high = high, 2 * high
        if low >= MOST:
            return None
    while high - low > 1:  # power grows with n: low is too few, high is enough
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle, effect, alpha) >= power else (middle, high)
    return high if high <= MOST else None


def effect_interval(differences: Array, level: float) -> tuple[float, float]:
    """Return what a few differences say of their true mean over the true standard deviation.

    The effects are those of which a noncentral t would not be surprising.

    Parameters
    ----------
    differences : array of shape [n_seeds]
        At least two.
    level : float
        Share of such intervals that hold the true value.

    Returns
    -------
    tuple of float
        Lower and upper end, the first 0 where the mean may have the other sign.
    """
    from scipy.special import ndtr

    n = len(differences)
    seen = abs(_effect(differences)) * np.sqrt(n)
    if seen > _CERTAIN or not np.ptp(differences) > _EQUAL:
        return float(seen / np.sqrt(n)), float(seen / np.sqrt(n))
    # scipy's noncentral t is NaN in places: the mean over the spread's distribution is taken here.
    t_values = seen * _spreads(n - 1)

    def end(share: float) -> float:
        low, high, centre, step = -10.0, 10 + t_values[-1], seen, np.inf
        while abs(step) > _EXACT * (1 + abs(centre)):  # Newton's, halving where it would leave the bracket
            too_much = ndtr(t_values - centre).mean() - share
            low, high = (centre, high) if too_much > 0 else (low, centre)
            slope = np.exp(-((t_values - centre) ** 2) / 2).mean() / np.sqrt(2 * np.pi)
            step = too_much / max(slope, 1e-300)
            step = step if low < centre + step < high else (low + high) / 2 - centre
            centre += step
        return float(centre / np.sqrt(n))

    tail = (1 - level) / 2
    return max(end(1 - tail), 0.0), end(tail)


@lru_cache(maxsize=8)
def _spreads(df: int) -> Array:
    """Return quantiles of a standard deviation over `df` degrees of freedom, the true one being 1."""
    from scipy.special import gammaincinv

    chi_squared = 2 * gammaincinv(df / 2, (np.arange(_POINTS) + 0.5) / _POINTS)
    spreads: Array = np.sqrt(chi_squared / df)
    return spreads


def _effect(differences: Array) -> float:
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if abs(mean) < _EQUAL:
        return 0.0
    return mean / spread if spread > _EQUAL else np.inf
