import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.nnm import nnm
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import InfeasibleError


def test_by_hand(line):
    # Three nearest, itself among them: {0,1,3}, {1,0,3}, {3,1,0}, {7,3,1}, {20,7,3}.
    mixed = nnm(line, 2) @ line
    assert mixed[:, 0].tolist() == pytest.approx([4 / 3, 4 / 3, 4 / 3, 11 / 3, 10])


def test_each_is_among_its_own_neighbours_also_under_ties():
    weights = nnm(torch.ones(6, 3), 4)
    assert weights.diagonal().tolist() == [0.5] * 6
    assert ((weights > 0).sum(1) == 2).all()
    assert weights.sum(1).tolist() == [1] * 6


def test_without_malicious_clients_it_is_the_mean(line):
    assert (nnm(line, 0) @ line)[:, 0].tolist() == pytest.approx([6.2] * 5)


def test_one_client():
    assert nnm(torch.ones(1, 2), 0).tolist() == [[1]]


@pytest.mark.parametrize("seed", range(5))
def test_against_sorting(seed):
    rows = np.random.default_rng(seed).standard_normal((9, 40)).astype(np.float32)
    mixed = nnm(torch.from_numpy(rows), 3) @ torch.from_numpy(rows)
    for i, own in enumerate(rows):
        nearest = np.argsort(((rows.astype(np.float64) - own) ** 2).sum(1))[:6]
        np.testing.assert_allclose(mixed[i].numpy(), rows[nearest].mean(0), rtol=1e-5, atol=1e-6)


def test_honest_rows_do_not_mix_with_1e30(aggregate):
    rows = torch.cat((torch.full((2, 4), 1e30), torch.ones(5, 4), 2 * torch.ones(2, 4)))
    weights = nnm(rows, 2)
    assert (weights[2:, :2] == 0).all()
    assert aggregate("nnm > trimmed_mean", rows, f=2).aggregate.tolist() == pytest.approx([9 / 7] * 4)


def test_infeasible_with_numbers():
    assert "n = 3, f = 3" in make("aggregators", "nnm > mean").infeasible(3, 3)
    with pytest.raises(InfeasibleError, match="n = 3, f = 3"):
        nnm(torch.zeros(3, 1), 3)
