import numpy as np
import pytest
from scipy import stats

from robustbench_fl.analysis import bootstrap


def test_mean_interval_agrees_with_scipy():
    values = np.random.default_rng(1).random(12)
    low, high = bootstrap.mean_interval([values])
    peer = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000)
    assert low == pytest.approx(peer.confidence_interval.low, abs=0.01)
    assert high == pytest.approx(peer.confidence_interval.high, abs=0.01)
    assert (low, high) == bootstrap.mean_interval([values])


def test_strata_are_resampled_apart():
    # Between strata there is no doubt: only the spread inside each counts.
    low, high = bootstrap.mean_interval([np.full(5, 0.1), np.full(5, 0.9)])
    assert low == pytest.approx(0.5)
    assert high == pytest.approx(0.5)


def test_weights_are_counts_of_seeds():
    weights = bootstrap.draws(5, "a world")
    assert weights.shape == (bootstrap.RESAMPLES, 5)
    assert np.array_equal(weights, bootstrap.draws(5, "a world"))
    assert not np.array_equal(weights, bootstrap.draws(5, "another"))
    assert set(weights.sum(axis=1)) == {5.0}
    rows, which = bootstrap.distinct(weights)
    assert np.array_equal(rows[which], weights)


def test_binomial_interval_agrees_with_scipy():
    peer = stats.binomtest(7, 70).proportion_ci(method="exact")
    assert bootstrap.binomial_interval(0.1, 70) == pytest.approx((peer.low, peer.high))
    assert bootstrap.binomial_interval(1.0, 10)[1] == 1.0


@pytest.mark.parametrize("n_groups", [1, 3])
def test_paired_draws_are_those_of_the_interval_of_a_mean(n_groups):
    rng = np.random.default_rng(0)
    groups = [rng.normal(size=4) for _ in range(n_groups)]
    drawn = bootstrap.paired_draws(4, 5)[:n_groups]
    means = np.mean([times @ group / 4 for times, group in zip(drawn, groups, strict=True)], axis=0)
    assert np.quantile(means, [0.025, 0.975]) == pytest.approx(bootstrap.mean_interval(groups), abs=1e-12)
