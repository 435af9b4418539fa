"""What the choice of test images adds to the variance of an accuracy, where all seeds share them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustbench_fl.analysis.picks import Array
from robustbench_fl.core.errors import UsageError

ImageCorrect = NDArray[Any] | Sequence[Any]
"""Indexed by rule (where there are several), world and attack: an array [n_seeds, n_images]."""

Tables = list[tuple[float, Array]]
"""For each test set, the share of the worlds that use it, and correctness [n_seeds, n_images]."""

_TOLERANCE = 1e-6


def tables(
    values: Array, image_correct: ImageCorrect, picks: NDArray[np.bool_], test_sets: Sequence[Any] | None
) -> Tables:
    """Return for each test set how often each seed classifies each image correctly.

    Parameters
    ----------
    values : array of shape [n_worlds, n_attacks, n_seeds]
        Accuracies, NaN where an attack is absent.
    image_correct : indexed by world and attack, giving [n_seeds, n_images]
        Shares in [0, 1] of the evaluations in which an image was classified correctly; their means
        over images are `values`.
    picks : bool array of shape [n_worlds, n_attacks]
        The attacks that count, averaged within a world; worlds without any do not count.
    test_sets : sequence of n_worlds labels or None
        Worlds with the same label have the same test images, in the same order; ``None``: all.

    Raises
    ------
    UsageError
        If shapes or means do not fit.
    """
    labels = [None] * len(values) if test_sets is None else list(test_sets)
    if len(labels) != len(values):
        raise UsageError(
            f"test_sets must name one test set for each of {len(values)} worlds, got {len(labels)}."
        )
    worlds = np.flatnonzero(picks.any(axis=1))
    found: dict[Any, list[Array]] = {}
    for world in worlds:
        attacks = np.flatnonzero(picks[world])
        seen = [_one(values, image_correct, int(world), int(attack)) for attack in attacks]
        found.setdefault(labels[world], []).append(_mean(seen, f"of world {world}"))
    return [
        (len(group) / len(worlds), _mean(group, "of worlds that share test images"))
        for group in found.values()
    ]


def with_images(variance: float, df: float, found: Tables) -> tuple[float, float]:
    """Add the variance over test images to that of a mean over seeds.

    Of a table seeds × images with both drawn at random, the grand mean has the variance
    (MS_seed + MS_image − MS_residual) / (n·T), of which MS_seed / (n·T) is the variance over seeds.

    Parameters
    ----------
    variance : float
        Of the mean over seeds.
    df : float
        Its degrees of freedom.
    found : list of (share, array [n_seeds, n_images])
        As from :func:`tables`; at least two seeds and two images.

    Returns
    -------
    tuple of float
        Variance, never below `variance`, and degrees of freedom by Satterthwaite's approximation.

    References
    ----------
    .. [1] F. E. Satterthwaite, "An Approximate Distribution of Estimates of Variance Components",
       Biometrics Bulletin 2(6), 1946.
    """
    terms, freedoms = [variance], [df]
    for share, correct in found:
        n, t = correct.shape
        if t < 2:
            raise UsageError(f"The variance over test images needs at least 2 of them, got {t}.")
        by_image, by_seed = correct.mean(axis=0), correct.mean(axis=1, keepdims=True)
        rest = correct - by_image - by_seed + correct.mean()
        scale, cells = share**2 / (n * t), (n - 1) * (t - 1)
        terms += [scale * n * float(by_image.var(ddof=1)), -scale * float((rest**2).sum()) / cells]
        freedoms += [t - 1, cells]
    total = sum(terms)
    if total <= variance:
        return variance, df
    return total, total**2 / sum(term**2 / freedom for term, freedom in zip(terms, freedoms, strict=True))


def differences(first: Tables, second: Tables) -> Tables:
    """Return the paired difference of the tables of two rules that met the same worlds."""
    for (_, own), (_, other) in zip(first, second, strict=True):
        _same_images([own, other], "of two rules")
    return [(share, own - other) for (share, own), (_, other) in zip(first, second, strict=True)]


def _one(values: Array, image_correct: ImageCorrect, world: int, attack: int) -> Array:
    found: Array = np.asarray(image_correct[world][attack], dtype=float)
    accuracy = values[world, attack]
    if found.ndim != 2 or len(found) != len(accuracy):
        raise UsageError(
            f"image_correct at world {world}, attack {attack} must have the shape "
            f"[{len(accuracy)} seeds, images], got {found.shape}."
        )
    gap = np.abs(found.mean(axis=1) - accuracy)
    if not (gap <= _TOLERANCE).all():
        seed = int(np.nanargmax(gap)) if not np.isnan(gap).all() else 0
        raise UsageError(
            f"image_correct at world {world}, attack {attack} does not belong to the values: for seed {seed} "
            f"its mean over images is {found[seed].mean():.6f}, the accuracy {accuracy[seed]:.6f}. "
            "Give shares in [0, 1]."
        )
    return found


def _mean(arrays: list[Array], what: str) -> Array:
    _same_images(arrays, what)
    found: Array = np.mean(arrays, axis=0)
    return found


def _same_images(arrays: list[Array], what: str) -> None:
    sizes = {array.shape for array in arrays}
    if len(sizes) > 1:
        counts = " and ".join(str(size[1]) for size in sorted(sizes))
        raise UsageError(
            f"The cells {what} have {counts} test images. Name in test_sets which worlds share them."
        )
