import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.bulyan import bulyan
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import InfeasibleError


def slow_bulyan(rows: np.ndarray, f: int) -> tuple[list[int], np.ndarray]:
    """Return the picks in their order and the aggregate, by loops."""
    values = rows.astype(np.float64)
    left, picks = list(range(len(values))), []
    while len(picks) < len(values) - 2 * f:
        scores = []
        for i in left:
            others = sorted(((values[i] - values[j]) ** 2).sum() for j in left if j != i)
            scores.append(sum(others[: max(1, len(left) - f - 2)]))
        picks.append(left.pop(int(np.argmin(scores))))
    chosen = values[picks]
    step = []
    for column in chosen.T:
        order = np.abs(column - np.median(column)).argsort(kind="stable")
        step.append(column[order[: len(picks) - 2 * f]].mean())
    return picks, np.array(step)


def test_by_hand(aggregate):
    # n = 7, f = 1: five picks, by 4, 3, 2, 1, 1 nearest. 2 first (4+1+1+9 = 15, 3 has 1+4+4+9 = 18);
    # of 0 1 3 5 9 100 3 (4+4+9 = 17, 1 has 1+4+16 = 21); of 0 1 5 9 100 1 (1+16); of 0 5 9 100 5 (16,
    # as has 9); of 0 9 100 0 (81, as has 9). The three of 0 1 2 3 5 nearest to 2 are 1 2 3.
    rows = torch.tensor([[0.0], [1.0], [2.0], [3.0], [5.0], [9.0], [100.0]])
    outcome = aggregate("bulyan", rows, f=1)
    assert outcome.selected.tolist() == [True, True, True, True, True, False, False]
    assert outcome.aggregate.item() == 2
    assert outcome.scores[2].item() == 15


def test_without_malicious_clients_it_is_the_mean(line):
    assert bulyan(line, 0).item() == pytest.approx(6.2)


@pytest.mark.parametrize(("n", "f"), [(7, 1), (11, 2), (15, 3), (20, 3), (23, 5), (26, 2)])
def test_against_loops(n, f, aggregate):
    rows = np.random.default_rng(n).standard_normal((n, 60)).astype(np.float32)
    rows[:f] += 3
    picks, step = slow_bulyan(rows, f)
    outcome = aggregate("bulyan", rows, f=f)
    assert outcome.selected.nonzero()[:, 0].tolist() == sorted(picks)
    np.testing.assert_allclose(outcome.aggregate.numpy(), step, rtol=1e-5, atol=1e-5)


def test_huge_rows_are_not_picked(aggregate):
    rows = torch.randn(11, 30, generator=torch.Generator().manual_seed(0))
    rows[[2, 5]] = torch.tensor([1e30, -1e30])[:, None]
    outcome = aggregate("bulyan", rows, f=2)
    assert not outcome.selected[[2, 5]].any()
    assert outcome.aggregate.abs().max() < 3


def test_identical_rows():
    assert bulyan(torch.full((7, 4), 0.3), 1).tolist() == pytest.approx([0.3] * 4)


def test_infeasible_with_numbers():
    rule = make("aggregators", "bulyan")
    assert rule.infeasible(11, 2) is None
    assert "n = 10, f = 2 asks for 11" in rule.infeasible(10, 2)
    with pytest.raises(InfeasibleError, match="n = 10, f = 2"):
        bulyan(torch.zeros(10, 1), 2)
