from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from robustbench_fl.analysis import estimators


def slow_honest(values, picked_sets):
    """The definition, one split at a time; `values` is [attacks, seeds]."""
    n = values.shape[1]
    reports = []
    for picked in picked_sets:
        rest = [s for s in range(n) if s not in picked]
        attack = int(np.argmin(values[:, list(picked)].mean(axis=1)))
        reports.append(values[attack, rest].mean())
    return np.mean(reports)


def test_honest_worst_by_hand():
    # Picking on seed 0 chooses attack a (0.1 < 0.5): reported on seed 1, 0.7. Picking on seed 1
    # chooses b (0.5 < 0.7): reported on seed 0, 0.5. The plain minimum is min(0.4, 0.5) = 0.4.
    values = np.array([[[0.1, 0.7], [0.5, 0.5]]])
    ones = np.ones((1, 2))
    assert estimators.worst_honest(values, ones)[0, 0] == pytest.approx(0.6)
    assert estimators.worst(values, ones)[0, 0] == pytest.approx(0.4)
    assert estimators.mean(values, ones)[0, 0] == pytest.approx(0.45)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_honest_worst_equals_the_definition(n):
    values = np.random.default_rng(n).random((2, 4, n))
    halves = {n // 2, n - n // 2}
    picked = [p for size in halves for p in combinations(range(n), size)]
    found = estimators.worst_honest(values, np.ones((1, n)))[:, 0]
    assert found == pytest.approx([slow_honest(rule, picked) for rule in values])


def test_equally_bad_attacks_are_averaged_over_in_spite_of_rounding():
    # On seeds 0 to 2 both attacks sum to 60 of 100 images, which float means tell apart.
    values = np.array([[[0.1, 0.2, 0.3, 0.9], [0.3, 0.2, 0.1, 0.5]]])
    picking = np.array([[1.0, 1.0, 1.0, 0.0]])
    found = estimators._honest(values, np.ones((1, 4)), picking)[0, 0]
    assert found == pytest.approx((0.9 + 0.5) / 2)
    swapped = estimators._honest(values[:, ::-1], np.ones((1, 4)), picking)[0, 0]
    assert swapped == pytest.approx(found)


def test_many_splits_are_a_balanced_sample():
    masks = estimators.halves(9)
    assert masks.shape == (estimators.MAX_SPLITS, 9)
    assert np.array_equal(masks[:10], 1 - masks[10:])
    assert set(masks.sum(axis=1)) == {4, 5}


def test_honest_worst_of_noise_is_not_biased():
    # Twenty attacks that do the same: the truth is 0.5, the plain minimum sinks below it.
    values = 0.5 + 0.1 * np.random.default_rng(0).standard_normal((400, 20, 4))
    ones = np.ones((1, 4))
    assert estimators.worst_honest(values, ones).mean() == pytest.approx(0.5, abs=0.005)
    assert estimators.worst(values, ones).mean() < 0.42


def test_a_resample_with_one_seed_only_reports_that_seed():
    values = np.array([[[0.1, 0.7], [0.5, 0.5]]])
    # Only seed 0 drawn: the other half picks by its plain mean (seed 1: attack b), reports 0.5.
    assert estimators.worst_honest(values, np.array([[2.0, 0.0]]))[0, 0] == pytest.approx(0.5)


def test_attacks_that_do_not_apply_are_skipped():
    values = np.array([[[np.nan, np.nan], [0.5, 0.7]], [[np.nan] * 2, [np.nan] * 2]])
    ones = np.ones((1, 2))
    for score in (estimators.worst, estimators.mean, estimators.worst_honest):
        found = score(values, ones)[:, 0]
        assert found[0] == pytest.approx(0.6)
        assert np.isnan(found[1])


def test_the_middle_half_by_hand():
    ones = np.ones((1, 4))
    assert estimators.interquartile_mean(np.array([0.9, 0.1, 0.4, 0.5]), ones)[0] == pytest.approx(0.45)
    # Three values: the middle one counts 1, either neighbour 1/4: (0.25 * 0 + 0.6 + 0.25 * 1.0) / 1.5.
    assert estimators.interquartile_mean(np.array([0.0, 0.6, 1.0]), ones[:, :3])[0] == pytest.approx(
        0.85 / 1.5
    )
    # Drawn twice, 0.1 fills the lower half: of 0.1, 0.1, 0.4, 0.5 the middle is 0.1 and 0.4.
    twice = np.array([[0.0, 2.0, 1.0, 1.0]])
    assert estimators.interquartile_mean(np.array([0.9, 0.1, 0.4, 0.5]), twice)[0] == pytest.approx(0.25)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_the_middle_half_equals_scipys_trimmed_mean(values):
    quadruple = np.repeat(values, 4)  # then a quarter is a whole number of values
    found = estimators.interquartile_mean(np.array(values), np.full((1, len(values)), 4.0))[0]
    assert found == pytest.approx(trim_mean(quadruple, 0.25))


def test_many_seeds_are_split_without_listing_all_ways():
    masks = estimators.halves(40)  # 137,846,528,820 ways
    assert masks.shape == (estimators.MAX_SPLITS, 40)
    assert (masks.sum(axis=1) == 20).all()
