"""How many seeds it takes to see a difference."""

from __future__ import annotations

import numpy as np

from robustbench_fl.analysis.picks import Array

ALPHA, POWER = 0.05, 0.8
MOST = 10_000
"""More seeds than that are as good as never."""
_EQUAL = 1e-12
_CERTAIN = 1000.0
"""Of a larger t nobody asks how many seeds it takes."""
_POINTS = 2000


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
    from scipy.stats import nct, t

    critical = t.ppf(1 - alpha / 2, n - 1)
    centre = abs(effect) * np.sqrt(n)
    beyond = nct.sf(critical, n - 1, centre)
    # The other tail; scipy gives NaN where it is too small to be told.
    return float(beyond + np.nan_to_num(nct.cdf(-critical, n - 1, centre)))


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
    from scipy.optimize import brentq
    from scipy.special import ndtr
    from scipy.stats import chi2

    n = len(differences)
    seen = abs(_effect(differences)) * np.sqrt(n)
    if seen > _CERTAIN or not np.ptp(differences) > _EQUAL:
        return float(seen / np.sqrt(n)), float(seen / np.sqrt(n))
    # scipy's noncentral t is NaN in places: the mean over the spread's distribution is taken here.
    spreads = np.sqrt(chi2.ppf((np.arange(_POINTS) + 0.5) / _POINTS, n - 1) / (n - 1))

    def end(share: float) -> float:
        def excess(centre: float) -> float:
            return float(ndtr(seen * spreads - centre).mean()) - share

        return float(brentq(excess, -10.0, 10 + seen * spreads[-1]) / np.sqrt(n))

    tail = (1 - level) / 2
    return max(end(1 - tail), 0.0), end(tail)


def _effect(differences: Array) -> float:
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if abs(mean) < _EQUAL:
        return 0.0
    return mean / spread if spread > _EQUAL else np.inf
