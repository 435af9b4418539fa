"""How many seeds it takes to see a difference."""

from __future__ import annotations

import numpy as np

from robustbench_fl.analysis.estimators import Array

ALPHA, POWER = 0.05, 0.8
MOST = 10_000
"""More seeds than that are as good as never."""


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
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if abs(mean) < 1e-12:
        return None
    if spread < 1e-12:
        return 2
    effect = mean / spread
    low, high = 1, 2
    while power_of(high, effect, alpha) < power:
        low, high = high, 2 * high
        if low >= MOST:
            return None
    while high - low > 1:  # power grows with n: low is too few, high is enough
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle, effect, alpha) >= power else (middle, high)
    return high if high <= MOST else None
