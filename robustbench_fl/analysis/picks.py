"""Accuracy of a rule, seed by seed, at the attack that is worst on all seeds or on the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robustbench_fl.core.errors import UsageError

EQUAL = 1e-12
"""Accuracies are shares of a few hundred images, so equal means are common and differ by rounding."""

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


def checked(values: ArrayLike, *axes: str) -> Array:
    """Return `values` as floats, if they have these axes and no hole.

    Parameters
    ----------
    values : array, the last axis being seeds
        NaN in all seeds says that an attack is absent.
    *axes : str
        What each axis is called.

    Raises
    ------
    UsageError
        If an axis is missing or has no place, a value is infinite, or NaN in some seeds only.
    """
    found: Array = np.asarray(values, dtype=float)
    if found.ndim != len(axes) or not found.size:
        raise UsageError(
            f"Values must have the axes [{', '.join(axes)}], none of them empty; got the shape {found.shape}."
        )
    missing = np.isnan(found)
    if np.isinf(found).any():
        raise UsageError(
            f"A value is infinite at {_place(np.isinf(found), axes)}: accuracies are finite or NaN."
        )
    holes = missing & ~missing.all(axis=-1, keepdims=True)
    if holes.any():
        raise UsageError(
            f"A value is missing (NaN) at {_place(holes, axes)}. An attack is there for all seeds or absent "
            "(NaN) for all: run the missing cells, or leave out the attack or the seeds."
        )
    return found


def worst_attacks(values: Array) -> Indices:
    """Return the attack of the smallest mean over seeds in each world.

    Parameters
    ----------
    values : array of shape [n_worlds, n_attacks, n_seeds]
        NaN in all seeds where an attack is absent.

    Returns
    -------
    int array of shape [n_worlds]
        The first of equal ones; −1 in a world without any attack.
    """
    return _first_lowest(values.mean(axis=-1))


def worst_by_seed(values: Array) -> Array:
    """Return the accuracy of each seed at the worst attack of each world, averaged over worlds.

    Parameters
    ----------
    values : array of shape [n_worlds, n_attacks, n_seeds]
        NaN in all seeds where an attack is absent; worlds without any attack do not count.

    Returns
    -------
    array of shape [n_seeds]
        NaN if no world has an attack. Its mean is the score of the rule, the plain minimum, which
        is biased low the more attacks are about equally bad.

    Examples
    --------
    >>> worst_by_seed(np.array([[[0.1, 0.7], [0.5, 0.5]]]))
    array([0.1, 0.7])
    """
    attacks = worst_attacks(values)
    worlds = np.flatnonzero(attacks >= 0)
    return _over_worlds(values[worlds, attacks[worlds]])


def left_out_worst_by_seed(values: Array) -> Array:
    """Return the accuracy of each seed at the attack that is worst on the other seeds.

    Parameters
    ----------
    values : array of shape [n_worlds, n_attacks, n_seeds]
        As for :func:`worst_by_seed`; at least two seeds.

    Returns
    -------
    array of shape [n_seeds]
        Averaged over worlds. Nowhere below :func:`worst_by_seed`; its mean is biased high where the
        worst attack is uncertain.

    Raises
    ------
    UsageError
        With one seed.

    Examples
    --------
    Seed 1 finds the second attack worse (0.5 < 0.7), on which seed 0 has 0.5; seed 0 finds the first
    (0.1 < 0.5), on which seed 1 has 0.7:

    >>> left_out_worst_by_seed(np.array([[[0.1, 0.7], [0.5, 0.5]]]))
    array([0.5, 0.7])
    """
    n = several_seeds(values)
    others = (values.sum(axis=-1, keepdims=True) - values) / (n - 1)
    attacks = _first_lowest(np.moveaxis(others, -1, 1))
    worlds = np.flatnonzero(attacks[:, 0] >= 0)
    return _over_worlds(values[worlds[:, None], attacks[worlds], np.arange(n)])


def several_seeds(values: NDArray[Any]) -> int:
    """Return the number of seeds of `values`, the last axis.

    Raises
    ------
    UsageError
        If it is one.
    """
    n = int(values.shape[-1])
    if n < 2:
        raise UsageError(
            f"An interval needs at least 2 seeds, got {n}: one seed says nothing of the spread over seeds. "
            "Run more, such as seeds = 5."
        )
    return n


def _place(wrong: NDArray[np.bool_], axes: tuple[str, ...]) -> str:
    places = zip(axes, np.argwhere(wrong)[0], strict=True)
    return ", ".join(f"{name.removesuffix('s')} {place}" for name, place in places) + " (counted from 0)"


def _first_lowest(means: Array) -> Indices:
    """Return the first lowest place along the last axis, −1 where all are NaN."""
    ranked = np.where(np.isnan(means), np.inf, means)
    lowest = ranked.min(axis=-1, keepdims=True)
    return np.where(np.isinf(lowest[..., 0]), -1, (ranked <= lowest + EQUAL).argmax(axis=-1))


def _over_worlds(values: Array) -> Array:
    """Return the mean over the first axis, NaN where it is empty."""
    found: Array = values.mean(axis=0) if len(values) else np.full(values.shape[-1], np.nan)
    return found
