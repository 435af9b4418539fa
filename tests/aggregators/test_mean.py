import torch

from robustbench_fl.aggregators.mean import mean
from robustbench_fl.api.build import make


def test_by_hand(aggregate):
    rows = [[1.0, 2.0], [3.0, 6.0]]
    assert mean(torch.tensor(rows)).tolist() == [2, 4]
    outcome = aggregate("mean", rows)
    assert outcome.aggregate.tolist() == [2, 4]
    assert outcome.weights.tolist() == [0.5, 0.5]


def test_weighted_by_claimed_samples(aggregate):
    outcome = aggregate("mean(weighted=true)", [[1.0], [5.0]], sample_counts=torch.tensor([3, 1]))
    assert outcome.aggregate.tolist() == [2]
    assert outcome.weights.tolist() == [0.75, 0.25]


def test_nobody_claims_a_sample(aggregate):
    outcome = aggregate("mean(weighted=true)", [[1.0], [5.0]], sample_counts=torch.tensor([0, 0]))
    assert outcome.aggregate.tolist() == [0]


def test_large_values_do_not_overflow():
    assert mean(torch.full((4, 1), 3e38)).isfinite().all()


def test_needs_counts_only_if_weighted():
    assert not make("aggregators", "mean").needs
    assert {str(need) for need in make("aggregators", "mean(weighted=true)").needs} == {"sample_counts"}


def test_the_oracle_is_a_plain_mean_of_what_it_is_given(aggregate):
    rule = make("aggregators", "oracle_mean")
    assert rule.baseline == "honest"
    assert not rule.needs
    assert aggregate("oracle_mean", [[1.0], [5.0]]).aggregate.tolist() == [3]
