import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_fl.analysis.inference import (
    mean_interval,
    pairwise,
    seeds_to_separate,
    worst_difference,
    worst_interval,
)
from robustbench_fl.analysis.moderated import holm, moderated, prior
from robustbench_fl.analysis.picks import left_out_worst_by_seed, worst_attacks, worst_by_seed
from robustbench_fl.core.errors import UsageError

NAN = np.nan
TWO = np.array([[[0.1, 0.7], [0.5, 0.5]]])
"""One world, two attacks, two seeds: P = (0.1, 0.7), L = (0.5, 0.7)."""
T1 = 12.706204736
"""Student's t with one degree of freedom, 97.5 %."""


def random_values(rules, worlds, attacks, seeds, number=0, absent=0.0):
    rng = np.random.default_rng(number)
    level = rng.uniform(0.3, 0.9, (rules, 1, 1, 1)) + rng.normal(0, 0.05, (rules, worlds, attacks, 1))
    values = level + rng.normal(0, 0.03, (rules, worlds, attacks, seeds))
    values[rng.random(values.shape[:3]) < absent] = NAN
    return values


def test_intervals_by_hand():
    # By seed 0.3 and 0.6: spread 0.3 / √2, standard error 0.15.
    assert mean_interval(TWO) == pytest.approx((0.45, 0.45 - T1 * 0.15, 0.45 + T1 * 0.15))
    # P: 0.4 with standard error 0.3. L: 0.6 with 0.1; the larger spread counts.
    assert worst_interval(TWO) == pytest.approx((0.4, 0.4 - T1 * 0.3, 0.6 + T1 * 0.3))


def test_the_level_is_that_of_the_t_distribution():
    # With one degree of freedom the quantile at 75 % is 1.
    assert mean_interval(TWO, level=0.5) == pytest.approx((0.45, 0.3, 0.6))
    assert worst_interval(TWO, level=0.5) == pytest.approx((0.4, 0.1, 0.9))


def test_each_world_picks_its_own_attack():
    other = np.array([[[0.9, 0.8], [0.2, 0.3]]])
    both = np.concatenate([TWO, other])
    assert worst_attacks(both).tolist() == [0, 1]
    assert worst_by_seed(both) == pytest.approx([0.15, 0.5])
    assert left_out_worst_by_seed(both) == pytest.approx([0.35, 0.5])


def test_of_equal_attacks_the_first_counts_in_spite_of_rounding():
    values = np.array([[[0.3, 0.2, 0.1], [0.1, 0.2, 0.3]]])
    assert worst_attacks(values).tolist() == worst_attacks(values[:, ::-1]).tolist() == [0]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 6), st.sampled_from([0.001, 0.1, 0.25]))
def test_the_left_out_worst_is_nowhere_below_the_worst(number, attacks, seeds, unit):
    values = np.round(random_values(1, 3, attacks, seeds, number)[0] / unit) * unit  # many ties
    assert (left_out_worst_by_seed(values) >= worst_by_seed(values) - 1e-9).all()


def test_pairwise_by_hand():
    # Constant leads of 0.1: no spread, so beyond doubt.
    values = np.array([[[[0.8, 0.6]]], [[[0.7, 0.5]]]])
    assert pairwise(values).tolist() == [[0, 1], [-1, 0]]
    assert worst_difference(values) == pytest.approx((0.1, 0.1, 0.1))
    # Leads of 0.1 and 0.3: 0.2 ± 12.7 · 0.1, two pairs too few to moderate.
    values = np.array([[[[0.8, 0.8]]], [[[0.7, 0.5]]]])
    assert pairwise(values).tolist() == [[0, 0], [0, 0]]
    assert worst_difference(values) == pytest.approx((0.2, 0.2 - T1 * 0.1, 0.2 + T1 * 0.1))
    assert pairwise(values, level=0.6).tolist() == [[0, 1], [-1, 0]]


def test_a_rule_does_not_win_by_having_fewer_attacks_that_tie():
    # The second has two attacks that fail on one seed each: its plain minimum is 0.475. Left out, each seed
    # meets the attack that the others found worse, and has 0.5 under it, as the first rule has everywhere.
    first = [[[0.5, 0.5, 0.5, 0.5], [0.9, 0.9, 0.9, 0.9]]]
    second = [[[0.4, 0.5, 0.5, 0.5], [0.5, 0.4, 0.5, 0.5]]]
    values = np.array([first, second])
    assert left_out_worst_by_seed(values[1]) == pytest.approx(np.full(4, 0.5))
    assert worst_difference(values)[:2] == pytest.approx((0.025, 0.0), abs=1e-9)
    assert pairwise(values).tolist() == [[0, 0], [0, 0]]


def test_equal_rules_are_equal():
    values = np.repeat(random_values(1, 2, 3, 5), 4, axis=0)
    assert (pairwise(values) == 0).all()
    assert worst_difference(values[:2])[0] == 0


@pytest.mark.parametrize("number", range(5))
def test_the_interval_of_a_difference_agrees_with_the_test_of_a_pair(number):
    values = random_values(6, 2, 3, 3, number)
    for first in range(5):
        pair = values[first : first + 2]
        _, low, high = worst_difference(pair)
        expected = 1 if low > 0 else -1 if high < 0 else 0
        assert pairwise(pair)[0, 1] == expected
        backwards = worst_difference(pair[::-1])
        assert backwards[1:] == pytest.approx((-high, -low))


def test_rules_may_come_in_any_order():
    values = random_values(7, 2, 3, 4, absent=0.2)
    order = np.array([3, 0, 6, 2, 5, 1, 4])
    np.testing.assert_array_equal(pairwise(values[order]), pairwise(values)[np.ix_(order, order)])


def test_a_pair_is_compared_on_the_attacks_that_both_have():
    values = np.array([[[[0.8, 0.8], [0.1, 0.2]]], [[[0.5, 0.5], [NAN, NAN]]], [[[NAN, NAN], [0.4, 0.4]]]])
    matrix = pairwise(values)
    assert matrix[0].tolist() == [0, 1, 0]  # 0.8 > 0.5; 0.15 against 0.4 has one degree of freedom
    assert np.isnan(matrix[1, 2])
    assert np.isnan(matrix[2, 1])


def test_a_rule_without_any_attack():
    values = random_values(3, 2, 2, 3)
    values[1] = NAN
    matrix = pairwise(values)
    assert np.isnan(matrix[1, [0, 2]]).all()
    assert matrix[0, 2] == pairwise(values[[0, 2]])[0, 1]
    assert np.isnan(mean_interval(values[1])).all()
    assert np.isnan(worst_interval(values[1])).all()
    assert np.isnan(worst_difference(values[:2])).all()
    assert pairwise(values[:2])[0, 0] == 0


def test_a_world_without_any_attack_does_not_count():
    values = random_values(2, 3, 2, 4)
    values[:, 1] = NAN
    rest = values[:, [0, 2]]
    assert mean_interval(values[0]) == mean_interval(rest[0])
    assert worst_interval(values[0]) == worst_interval(rest[0])
    assert worst_difference(values) == worst_difference(rest)


def test_the_prior_of_variances_by_hand():
    # Equal variances differ less than by chance.
    assert prior(np.full(5, 2.0), 4)[0] == np.inf
    # trigamma(2) = π²/6 − 1 is the variance that chance gives their logarithms at df = 4; with as much again
    # from the prior its degrees of freedom are 4 too, and the centres agree.
    spread = np.sqrt(2 * (np.pi**2 / 6 - 1))
    logs = spread * np.array([-1.0, 1.0]) / np.sqrt(2)
    assert prior(np.exp(logs), 4) == pytest.approx((4.0, 1.0))


def test_moderated_variances():
    variances = np.exp(np.array([-3.0, 0.0, 3.0, 1.0]))
    before, scale = prior(variances, 2)
    found, df = moderated(variances, 2, most=100)
    assert df == 2 + before
    assert found == pytest.approx((before * scale + 2 * variances) / (before + 2))
    assert moderated(variances, 2, most=2.5)[1] == 2.5
    assert moderated(variances[:2], 2, most=100)[0].tolist() == variances[:2].tolist()


def test_pairs_without_spread_do_not_enter_the_prior():
    variances = np.exp(np.array([-3.0, 0.0, 3.0, 1.0]))
    found, _ = moderated(np.append(variances, 0.0), 2, most=100)
    assert found[:4] == pytest.approx(moderated(variances, 2, most=100)[0])
    assert 0 < found[4] < found[0]


def test_holm_stops_at_the_first_that_fails():
    p_values = np.array([0.001, 0.04, 0.02, 0.03])
    assert holm(p_values, 0.05).tolist() == [True, False, False, False]  # 0.02 > 0.05 / 3


def test_identical_rules_are_rarely_told_apart():
    rng = np.random.default_rng(5)
    found = [np.any(pairwise(rng.normal(0.5, 0.02, (8, 2, 3, 5))) != 0) for _ in range(200)]
    assert np.mean(found) <= 0.08


def test_coverage_where_one_attack_is_worst():
    rng = np.random.default_rng(6)
    true = np.array([0.4, 0.7, 0.8])[:, None]
    ends = [worst_interval(true + rng.normal(0, 0.03, (2, 3, 5)))[1:] for _ in range(1000)]
    assert 0.93 <= np.mean([low <= 0.4 <= high for low, high in ends]) <= 0.97


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[[0.5]]], "at least 2 seeds, got 1"),
        ([[0.5, 0.4]], r"axes \[worlds, attacks, seeds\].*shape \(1, 2\)"),
        ([[[]]], r"none of them empty; got the shape \(1, 1, 0\)"),
        (
            [[[0.5, 0.4, 0.3], [0.5, NAN, NAN]]],
            r"missing \(NaN\) at .*world 0, attack 1, seed 1 \(counted from 0\)",
        ),
        ([[[0.5, np.inf]]], "infinite at .*world 0, attack 0, seed 1"),
    ],
)
def test_what_is_refused(values, message):
    for function in (mean_interval, worst_interval):
        with pytest.raises(UsageError, match=message):
            function(values)
    with pytest.raises(
        UsageError, match=message.replace("[worlds", "[rules, worlds").replace(r"\(1", r"\(2, 1")
    ):
        pairwise([values, values])


@pytest.mark.parametrize("level", [0.0, 1.0, 95, NAN])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(UsageError, match="between 0 and 1, such as"):
        mean_interval(TWO, level)


def test_a_difference_is_of_two():
    with pytest.raises(UsageError, match="of 2 rules, got 3"):
        worst_difference(random_values(3, 1, 1, 2))


def test_seeds_to_separate():
    # Differences of 0.1, 0.3, 0.2: effect 2. A noncentral t of 3.46 with two degrees of freedom is plausible
    # for effects from 0 on, so that no number of seeds is sure to be enough.
    values = np.array([[[[0.6, 0.8, 0.7]]], [[[0.5, 0.5, 0.5]]]])
    few, many = seeds_to_separate(values)
    assert many is None
    assert 2 < few < 6
    assert seeds_to_separate(values[::-1]) == (few, many)
    assert seeds_to_separate(values[[0, 0]]) == (None, None)
    assert seeds_to_separate(np.repeat(values[..., :1], 2, axis=-1)) == (2, 2)
