"""Moderated t: many small samples borrow strength from each other's variances; Holm's correction."""

from __future__ import annotations

from math import exp, inf, log

import numpy as np
from numpy.typing import NDArray

from robustbench_fl.analysis.picks import EQUAL, Array

_FEWEST = 3
"""With fewer variances there is nothing to borrow."""


def prior(variances: Array, df: float) -> tuple[float, float]:
    """Return the prior that sample variances were drawn about.

    Each variance is seen as its own true value times chi-squared over its degrees of freedom, the
    true values as scaled inverse chi-squared; mean and variance of the logarithms are matched.

    Parameters
    ----------
    variances : array of shape [n]
        Positive, at least two.
    df : float
        Their degrees of freedom.

    Returns
    -------
    tuple of float
        Degrees of freedom d₀ (infinite if the variances differ no more than by chance) and scale s₀².

    References
    ----------
    .. [1] G. K. Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression in
       Microarray Experiments", Statistical Applications in Genetics and Molecular Biology 3(1), 2004,
       Section 6.2.
    """
    from scipy.special import digamma, polygamma

    logs = np.log(variances) - digamma(df / 2) + log(df / 2)
    centre = float(logs.mean())
    excess = float(logs.var(ddof=1) - polygamma(1, df / 2))
    half = _trigamma_inverse(excess)
    if half == inf:
        return inf, exp(centre)
    return 2 * half, exp(centre + float(digamma(half)) - log(half))


def moderated(variances: Array, df: float, most: float) -> tuple[Array, float]:
    """Return variances shrunk towards each other, and their degrees of freedom.

    Parameters
    ----------
    variances : array of shape [n_pairs, ...]
        Sample variances; zeros are not used to estimate the prior.
    df : float
        Degrees of freedom of each.
    most : float
        Largest degrees of freedom that the data hold together.

    Returns
    -------
    tuple of array and float
        As they are, with `df`, if fewer than three pairs have a spread.
    """
    spread = variances > EQUAL**2
    if spread.reshape(len(spread), -1).any(axis=1).sum() < _FEWEST:
        return variances, df
    before, scale = prior(variances[spread], df)
    total = min(df + before, most)
    if before == inf:
        return np.full_like(variances, scale), total
    shrunk: Array = (before * scale + df * variances) / (before + df)
    return shrunk, total


def two_sided(means: Array, variances: Array, df: float | Array) -> Array:
    """Return p-values of positive means, twice the upper tail; 1 where a mean is not positive.

    Parameters
    ----------
    means, variances : array
        Of the same shape; a variance is that of its mean. Zero variance gives 0.
    df : float or array
    """
    from scipy.special import stdtr

    positive = means > EQUAL
    ratio = means / np.sqrt(np.maximum(variances, EQUAL**4))
    found: Array = np.where(positive, np.minimum(2 * stdtr(df, -np.abs(ratio)), 1), 1.0)
    return found


def holm(p_values: Array, alpha: float) -> NDArray[np.bool_]:
    """Return which hypotheses are rejected so that any is falsely with probability `alpha` at most.

    Parameters
    ----------
    p_values : array of shape [n]
    alpha : float

    References
    ----------
    .. [1] S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
       Statistics 6(2), 1979.

    Examples
    --------
    The second smallest of three is held against 0.05 / 2:

    >>> holm(np.array([0.03, 0.01, 0.02]), 0.05)
    array([ True,  True,  True])
    >>> holm(np.array([0.04, 0.01, 0.03]), 0.05)
    array([False,  True, False])
    """
    order = np.argsort(p_values, kind="stable")
    passed = p_values[order] <= alpha / np.arange(len(order), 0, -1)
    rejected = np.zeros(len(order), dtype=bool)
    rejected[order] = np.logical_and.accumulate(passed)
    return rejected


def _trigamma_inverse(value: float) -> float:
    """Return x with trigamma(x) = value; infinite for a value of 0 or less."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    if value < 1e-8:  # trigamma(x) is 1 / x for large x
        return inf
    return exp(brentq(lambda x: float(polygamma(1, exp(x))) - value, log(1e-8), log(1e9), xtol=1e-13))
