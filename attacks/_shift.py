"""How far ALIE and the attacks built on it shift the mean."""

from __future__ import annotations

import warnings
from statistics import NormalDist

Z_MIN = 0.3
"""Shift used where the paper's formula gives less."""
Z_MAX = 3.0
"""Shift used where the malicious clients are a majority and the formula has no value."""


def alie_z(n: int, m: int, z_min: float = Z_MIN) -> float:
    """Return how many standard deviations hide m malicious clients among n, at least `z_min`.

    Parameters
    ----------
    n : int
        Clients of the round.
    m : int
        Malicious ones among them.
    z_min : float
        Returned, with a warning, where the formula gives less: too few malicious clients.

    Returns
    -------
    float
        max(z_min, Φ⁻¹((n − m − s) / (n − m))) with s = ⌊n/2⌋ + 1 − m, the honest clients needed for
        a majority; 3 where s ≤ 0, since the malicious ones are a majority by themselves. Among
        fewer than 1,481 clients it never falls as m grows.

    Warns
    -----
    UserWarning
        If the formula gives less than `z_min`.

    Examples
    --------
    >>> round(alie_z(20, 6), 3)
    0.366
    """
    needed = n // 2 + 1 - m
    if needed <= 0:
        return max(Z_MAX, z_min)
    outside = (n - m - needed) / (n - m)
    z = NormalDist().inv_cdf(outside) if 0 < outside < 1 else -Z_MAX
    if z >= z_min:
        return z
    warnings.warn(
        f"alie: with {m} malicious of {n} clients the paper's z is {z:.2g}, too little to shift "
        f"anything. z_min = {z_min} is used; give z to choose it.",
        stacklevel=2,
    )
    return z_min
