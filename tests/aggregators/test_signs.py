import numpy as np
import pytest
import torch

from robustbench_fl.aggregators import _signs
from robustbench_fl.aggregators._signs import sign_sums
from robustbench_fl.aggregators.rlr import rlr
from robustbench_fl.aggregators.sign_majority import sign_majority
from robustbench_fl.api.build import make

ROWS = torch.tensor(
    [
        [1.0, 5.0, 0.0, -1.0],
        [2.0, -1.0, 0.0, -2.0],
        [3.0, -1.0, 4.0, -3.0],
        [4.0, -1.0, 0.0, 0.0],
        [5.0, 3.0, 0.0, 1.0],
    ]
)


def test_sums_by_hand():
    assert sign_sums(ROWS).tolist() == [5, -1, 1, -2]


def test_sums_in_blocks(monkeypatch):
    rows = torch.randn(7, 100, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(_signs, "_BLOCK_VALUES", 7 * 30)
    assert torch.equal(sign_sums(rows), rows.sign().sum(0))
    assert torch.equal(sign_sums(rows.T), rows.T.sign().sum(0))


def test_rlr_by_hand(aggregate):
    # Means 3, 1, 0.8, -1; signs sum up to 5, -1, 1, -2.
    assert aggregate("rlr", ROWS, f=1).aggregate.tolist() == pytest.approx([3, -1, -0.8, -1])
    assert aggregate("rlr", ROWS, f=2).aggregate.tolist() == pytest.approx([3, -1, -0.8, 1])
    assert aggregate("rlr(theta=1)", ROWS).aggregate.tolist() == pytest.approx([3, 1, 0.8, -1])
    assert rlr(ROWS, 5).tolist() == pytest.approx([3, -1, -0.8, 1])


def test_rlr_infeasible_with_numbers():
    rule = make("aggregators", "rlr")
    assert rule.infeasible(5, 2) is None
    assert "n = 4, f = 2" in rule.infeasible(4, 2)
    rule = make("aggregators", "rlr(theta=4)")
    assert rule.infeasible(4, 0) is None
    assert "theta = 4, but only n - f = 3 - 0" in rule.infeasible(3, 0)


def test_rlr_moves_with_one_row_and_overflows_not():
    rows = torch.cat((torch.full((1, 3), 1e30), torch.ones(4, 3)))
    assert rlr(rows, 2).tolist() == pytest.approx([2e29] * 3)


def test_sign_majority_by_hand(aggregate):
    # Norms: sqrt(27), 3, sqrt(35), sqrt(17), sqrt(35); the median is sqrt(27), over sqrt(4).
    step = 27**0.5 / 2
    assert aggregate("sign_majority", ROWS).aggregate.tolist() == pytest.approx([step, -step, step, -step])
    assert aggregate("sign_majority(step=0.5)", ROWS).aggregate.tolist() == [0.5, -0.5, 0.5, -0.5]


def test_as_many_on_either_side_and_single_rows():
    assert sign_majority(torch.tensor([[1.0, 2.0], [-3.0, 2.0]]), 1.0).tolist() == [0, 1]
    assert sign_majority(torch.tensor([[3.0, -4.0]])).tolist() == pytest.approx([12.5**0.5, -(12.5**0.5)])
    assert sign_majority(torch.zeros(3, 2)).tolist() == [0, 0]


def test_the_step_is_as_long_as_a_usual_update():
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((9, 400)).astype(np.float32))
    rows[:4] = 1e30
    assert sign_majority(rows).norm().item() < 1.05 * rows[4:].norm(dim=1).max().item()
