import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustbench_fl.aggregators.bucketing import bucketing
from robustbench_fl.api.build import make


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 5))
def test_every_update_is_used_exactly_once(n, s, seed):
    weights = bucketing(n, s, np.random.default_rng(seed))
    assert weights.shape == (-(-n // s), n)
    assert ((weights != 0).sum(0) == 1).all()
    sizes = (weights != 0).sum(1)
    assert (sizes[:-1] == s).all()
    assert 1 <= sizes[-1] <= s
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))


def test_groups_are_drawn_from_the_stream():
    first, again, other = (bucketing(20, 2, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_smaller_last_group_counts_as_a_full_row(aggregate):
    # Groups {a, b} and {c} of 0, 0, 6 in any order: means 0 and 6, or 3 and 0.
    means = {
        round(aggregate("bucketing > mean", [[0.0], [0.0], [6.0]], rng_seed=seed).aggregate.item(), 4)
        for seed in range(20)
    }
    assert means == {3.0, 1.5}


def test_groups_of_one_change_nothing(line, aggregate):
    assert aggregate("bucketing(s=1) > median", line).aggregate.item() == 3


def test_one_group_is_the_mean(line, aggregate):
    assert aggregate("bucketing(s=5) > median", line).aggregate.item() == pytest.approx(6.2)


def test_the_rule_behind_is_asked_with_the_groups():
    rule = make("aggregators", "bucketing(s=2) > krum")
    assert rule.infeasible(22, 4) is None
    assert "n = 10, f = 4 asks for 11" in rule.infeasible(20, 4)
    assert rule.infeasible(21, 4) is None, "21 clients are 11 groups"
