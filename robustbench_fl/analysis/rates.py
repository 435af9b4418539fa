"""Intervals of rates of detection."""

from __future__ import annotations

LEVEL = 0.95


def binomial_interval(rate: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a rate seen among `n` clients.

    Examples
    --------
    No false ban among 70 clients still allows 5 %:

    >>> round(binomial_interval(0.0, 70)[1], 2)
    0.05
    """
    from scipy.special import betaincinv  # scipy.stats takes a second to import

    hits, tail = rate * n, (1 - level) / 2
    low = betaincinv(hits, n - hits + 1, tail) if hits > 0 else 0.0
    high = betaincinv(hits + 1, n - hits, 1 - tail) if hits < n else 1.0
    return float(low), float(high)
