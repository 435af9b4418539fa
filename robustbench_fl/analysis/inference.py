"""How far accuracies can be trusted: intervals over seeds, and which of two rules is better.

Everything goes by one value a seed, averaged over worlds, since worlds share their seeds. Nothing
is resampled, so that all results are the same every time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robustbench_fl.analysis.image_noise import ImageCorrect, Tables, differences, tables, with_images
from robustbench_fl.analysis.moderated import holm, moderated, two_sided
from robustbench_fl.analysis.picks import (
    EQUAL,
    Array,
    checked,
    left_out_worst_by_seed,
    several_seeds,
    worst_attacks,
    worst_by_seed,
)
from robustbench_fl.analysis.power import effect_interval, seeds_for
from robustbench_fl.core.errors import UsageError

LEVEL = 0.95
_AXES = ("worlds", "attacks", "seeds")
Interval = tuple[float, float, float]


def mean_interval(
    values: ArrayLike,
    level: float = LEVEL,
    image_correct: ImageCorrect | None = None,
    test_sets: Sequence[Any] | None = None,
) -> Interval:
    """Return the mean over worlds of the mean over attacks, with its t interval over seeds.

    Parameters
    ----------
    values : array of shape [n_worlds, n_attacks, n_seeds]
        Accuracies, or paired differences of two rules. NaN in all seeds where an attack is absent;
        worlds without any attack do not count. At least two seeds, the same in all worlds.
    level : float, optional
        Share of such intervals that hold the true value.
    image_correct : array of shape [n_worlds, n_attacks, n_seeds, n_images], optional
        How often each test image was classified correctly, shares in [0, 1] whose means over images
        are `values`, for test images that all seeds share: their choice then counts as a second
        source of error, and no interval becomes narrower by it.
        Anything indexed by world and attack that gives [n_seeds, n_images] will do.
    test_sets : sequence of length n_worlds, optional
        Which test set each world has; by default all worlds have the same.

    Returns
    -------
    tuple of float
        Mean, lower and upper end. All NaN if no attack is there.

    Raises
    ------
    UsageError
        With one seed, a hole (NaN in some seeds only), a wrong shape or level.

    Examples
    --------
    Means over attacks of 0.4 and 0.6; their standard error is 0.1, and t with one degree of freedom 12.7:

    >>> [round(x, 2) for x in mean_interval([[[0.3, 0.7], [0.5, 0.5]]])]
    [0.5, -0.77, 1.77]
    """
    _check_level(level)
    found = checked(values, *_AXES)
    several_seeds(found)
    images = [] if image_correct is None else tables(found, image_correct, _present(found), test_sets)
    return _about(_mean_by_seed(found), level, images)


def worst_interval(
    values: ArrayLike,
    level: float = LEVEL,
    image_correct: ImageCorrect | None = None,
    test_sets: Sequence[Any] | None = None,
) -> Interval:
    """Return the mean over worlds of the minimum over attacks of the mean over seeds, with an interval.

    The lower end is that of t over seeds at the attack that is worst over all seeds. The upper end
    is about the accuracy of each seed at the attack that is worst on the others, with the larger of
    the two spreads: the minimum of noisy means lies below the true one.

    Parameters
    ----------
    values, level, image_correct, test_sets
        As for :func:`mean_interval`; accuracies only.

    Returns
    -------
    tuple of float
        Worst case, lower and upper end. All NaN if no attack is there. Where many attacks are
        exactly equal, the upper end lies too low in up to 15 % of the cases instead of 2.5 %.

    Raises
    ------
    UsageError
        As for :func:`mean_interval`.
    """
    _check_level(level)
    found = checked(values, *_AXES)
    n = several_seeds(found)
    fixed, left_out = worst_by_seed(found), left_out_worst_by_seed(found)
    images = [] if image_correct is None else tables(found, image_correct, _worst_only(found), test_sets)
    own, other = float(fixed.var(ddof=1)), float(left_out.var(ddof=1))
    worst = float(fixed.mean())
    high = float(left_out.mean()) + _reach(max(own, other), n, level, images)
    return worst, worst - _reach(own, n, level, images), high


def mean_difference(
    values: ArrayLike,
    level: float = LEVEL,
    image_correct: ImageCorrect | None = None,
    test_sets: Sequence[Any] | None = None,
) -> Interval:
    """Return by how much the mean over attacks of the first of two rules is above that of the second.

    Parameters
    ----------
    values : array of shape [2, n_worlds, n_attacks, n_seeds]
        Accuracies, seeds and worlds in the same order for both. Each rule is averaged over the attacks
        that it has itself, as in :func:`mean_interval`; only worlds in which both have some count.
    level, image_correct, test_sets
        As for :func:`pairwise`.

    Returns
    -------
    tuple of float
        Difference of the two means, with the t interval over seeds of the paired difference. All NaN
        if in no world both have an attack.

    Raises
    ------
    UsageError
        As for :func:`mean_interval`, or if there are not two rules.

    Examples
    --------
    Paired over seeds the difference is 0.1 and 0.3, however far the seeds lie apart:

    >>> values = [[[[0.3, 0.9]]], [[[0.2, 0.6]]]]
    >>> [round(x, 2) for x in mean_difference(values)]
    [0.2, -1.07, 1.47]
    """
    _check_level(level)
    found = checked(values, "rules", *_AXES)
    _check_two(found)
    several_seeds(found)
    both: NDArray[np.bool_] = np.logical_and.reduce(_present(found).any(axis=-1))
    found = np.where(both[:, None, None], found, np.nan)
    images: Tables = []
    if image_correct is not None:
        sides = [tables(own, image_correct[rule], _present(own), test_sets) for rule, own in enumerate(found)]
        images = differences(*sides)
    first, second = map(_mean_by_seed, found)
    return _about(first - second, level, images)


def worst_difference(
    values: ArrayLike,
    level: float = LEVEL,
    image_correct: ImageCorrect | None = None,
    test_sets: Sequence[Any] | None = None,
) -> Interval:
    """Return by how much the worst case of the first of two rules is above that of the second.

    Parameters
    ----------
    values : array of shape [2, n_worlds, n_attacks, n_seeds]
        As for :func:`pairwise`.
    level, image_correct, test_sets
        Likewise.

    Returns
    -------
    tuple of float
        Difference of the worst cases, lower and upper end. The interval excludes 0 exactly where
        :func:`pairwise` of the two calls them different. All NaN if they share no attack.
    """
    _check_level(level)
    found = checked(values, "rules", *_AXES)
    _check_two(found)
    n = several_seeds(found)
    sides = _Sides(found, image_correct, test_sets)
    images = sides.images(0, 1)
    gap = sides.worst(0, 1).mean() - sides.worst(1, 0).mean()
    ahead, behind = sides.lead(0, 1), sides.lead(1, 0)
    low = ahead.mean() - _reach(float(ahead.var(ddof=1)), n, level, images)
    high = -behind.mean() + _reach(float(behind.var(ddof=1)), n, level, images)
    return float(gap), float(low), float(high)


def seeds_to_separate(values: ArrayLike, level: float = LEVEL) -> tuple[int | None, int | None]:
    """Return between how many seeds it probably takes to tell two rules apart, with a power of 80 %.

    Parameters
    ----------
    values : array of shape [2, n_worlds, n_attacks, n_seeds]
        As for :func:`pairwise`.
    level : float, optional
        Of the test, and of what is known of the difference and its spread from the seeds at hand.

    Returns
    -------
    tuple of int or None
        Fewest: for the largest difference of the worst cases, in spreads over seeds, that these
        seeds allow. Most: for the smallest lead that they allow (what :func:`pairwise` tests); None
        if they allow none, or it takes more than 10,000 seeds. (None, None) if the rules are equal.
    """
    _check_level(level)
    found = checked(values, "rules", *_AXES)
    several_seeds(found)
    sides = _Sides(found, None, None)
    gap = sides.worst(0, 1) - sides.worst(1, 0)
    ahead = (0, 1) if gap.mean() > 0 else (1, 0)
    largest = effect_interval(gap, level)[1]
    smallest = effect_interval(sides.lead(*ahead), level)[0]
    return seeds_for(largest, 1 - level), seeds_for(smallest, 1 - level)


def pairwise(
    values: ArrayLike,
    level: float = LEVEL,
    image_correct: ImageCorrect | None = None,
    test_sets: Sequence[Any] | None = None,
) -> Array:
    """Return which rules have a better worst case than which others, beyond doubt.

    Rule r beats s if its accuracy at its own worst attack is above that of s at the attack that is
    worst for s on the other seeds: a t-test over seeds whose variance is moderated over all pairs,
    with Holm's correction over all pairs. Held against the plain minimum of s, r would win by having
    fewer attacks that are about equally bad.

    Parameters
    ----------
    values : array of shape [n_rules, n_worlds, n_attacks, n_seeds]
        Accuracies, seeds and worlds in the same order for all rules. NaN in all seeds where an
        attack is absent for a rule; a pair is compared on the attacks that both have.
    level : float, optional
        One minus the probability that any pair of equal rules is called different.
    image_correct : array of shape [n_rules, n_worlds, n_attacks, n_seeds, n_images], optional
        As for :func:`mean_interval`, with the rule as first index.
    test_sets : sequence of length n_worlds, optional
        As for :func:`mean_interval`.

    Returns
    -------
    array of shape [n_rules, n_rules]
        1 where the rule of the row is better than that of the column, −1 where it is worse, 0 where
        they cannot be told apart, NaN where they share no attack.

    Raises
    ------
    UsageError
        As for :func:`mean_interval`.
    """
    _check_level(level)
    found = checked(values, "rules", *_AXES)
    n = several_seeds(found)
    sides = _Sides(found, image_correct, test_sets)
    matrix: Array = np.full((len(found), len(found)), np.nan)
    np.fill_diagonal(matrix, 0.0)
    pairs = [pair for pair in combinations(range(len(found)), 2) if sides.shared(*pair).any()]
    if not pairs:
        return matrix
    leads = np.array([[sides.lead(r, s), sides.lead(s, r)] for r, s in pairs])
    met = len({rule for pair in pairs for rule in pair})
    variances, df = moderated(leads.var(axis=-1, ddof=1), n - 1, (met - 1) * (n - 1))
    means, variances = leads.mean(axis=-1), variances / n
    p_values = two_sided(means, variances, df)
    if image_correct is not None:
        wider, freedoms = np.empty_like(variances), np.empty_like(variances)
        for place, pair in enumerate(pairs):
            images = sides.images(*pair)
            for side in (0, 1):
                wider[place, side], freedoms[place, side] = with_images(variances[place, side], df, images)
        p_values = np.maximum(p_values, two_sided(means, wider, freedoms))
    different = holm(p_values.min(axis=1), 1 - level)
    signs = np.where(different, np.where(p_values[:, 0] < p_values[:, 1], 1.0, -1.0), 0.0)
    for (r, s), sign in zip(pairs, signs, strict=True):
        matrix[r, s], matrix[s, r] = sign, -sign + 0.0
    return matrix


class _Sides:
    """What of each rule enters a pair: its accuracies at the attacks that both rules have."""

    def __init__(
        self, values: Array, image_correct: ImageCorrect | None, test_sets: Sequence[Any] | None
    ) -> None:
        self._values = values
        self._present = _present(values)
        self._image_correct = image_correct
        self._test_sets = test_sets
        # Most pairs share all attacks, so that a rule enters them all with the same numbers.
        self._worst = self._once(worst_by_seed)
        self._left_out = self._once(left_out_worst_by_seed)
        self._tables = cache(self._uncached_tables)

    def shared(self, rule: int, other: int) -> NDArray[np.bool_]:
        """Return which attacks both have, [n_worlds, n_attacks]."""
        both: NDArray[np.bool_] = self._present[rule] & self._present[other]
        return both

    def worst(self, rule: int, other: int) -> Array:
        """Return the accuracies of `rule` at its worst attack, [n_seeds]."""
        return self._worst(rule, self.shared(rule, other).tobytes())

    def lead(self, rule: int, other: int) -> Array:
        """Return by how much `rule` surely leads `other`, [n_seeds]."""
        return self.worst(rule, other) - self._left_out(other, self.shared(rule, other).tobytes())

    def images(self, rule: int, other: int) -> Tables:
        """Return the paired differences image by image, each rule at its worst attack."""
        if self._image_correct is None:
            return []
        mask = self.shared(rule, other).tobytes()
        return differences(self._tables(rule, mask), self._tables(other, mask))

    def _uncached_tables(self, rule: int, mask: bytes) -> Tables:
        assert self._image_correct is not None
        values = self._masked(rule, mask)
        return tables(values, self._image_correct[rule], _worst_only(values), self._test_sets)

    def _masked(self, rule: int, mask: bytes) -> Array:
        shared = np.frombuffer(mask, dtype=bool).reshape(self._present.shape[1:])
        return np.where(shared[..., None], self._values[rule], np.nan)

    def _once(self, statistic: Callable[[Array], Array]) -> Callable[[int, bytes], Array]:
        return cache(lambda rule, mask: statistic(self._masked(rule, mask)))


def _present(values: Array) -> NDArray[np.bool_]:
    """Return which attacks are there, the axes of `values` without seeds."""
    there: NDArray[np.bool_] = ~np.isnan(values[..., 0])
    return there


def _mean_by_seed(values: Array) -> Array:
    """Return the mean over worlds of the mean over attacks, [n_seeds]; NaN if no attack is there."""
    kept = values[_present(values).any(axis=1)]
    found: Array = np.nanmean(kept, axis=1).mean(axis=0) if len(kept) else np.full(values.shape[-1], np.nan)
    return found


def _about(by_seed: Array, level: float, images: Tables) -> Interval:
    """Return the mean over seeds with its t interval, all NaN where nothing is known."""
    centre = float(by_seed.mean())
    if np.isnan(centre):
        return np.nan, np.nan, np.nan
    reach = _reach(float(by_seed.var(ddof=1)), len(by_seed), level, images)
    return centre, centre - reach, centre + reach


def _worst_only(values: Array) -> NDArray[np.bool_]:
    """Return a mask of the worst attack of each world, [n_worlds, n_attacks]."""
    only: NDArray[np.bool_] = worst_attacks(values)[:, None] == np.arange(values.shape[1])
    return only


def _reach(variance: float, n: int, level: float, images: Tables) -> float:
    """Return half the width of the t interval of a mean over `n` seeds of this variance."""
    from scipy.special import stdtrit

    alone = (variance / n, float(n - 1))
    # With two or three seeds Satterthwaite's degrees of freedom are too many: never narrower than without.
    ends = [
        float(stdtrit(df, (1 + level) / 2)) * np.sqrt(v) for v, df in (alone, with_images(*alone, images))
    ]
    return float(max(*ends, EQUAL))


def _check_two(values: Array) -> None:
    if len(values) != 2:
        raise UsageError(f"A difference is of 2 rules, got {len(values)}.")


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise UsageError(f"The level must lie between 0 and 1, such as 0.95, got {level:g}.")
