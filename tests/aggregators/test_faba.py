import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.faba import FABA, faba
from robustbench_fl.api import InfeasibleError


def test_by_hand(line, aggregate):
    # The mean of 0, 1, 3, 7, 20 is 6.2: 20 is dropped. That of the rest is 2.75: 7 is.
    outcome = aggregate("faba", line, f=2)
    assert outcome.selected.tolist() == [True, True, True, False, False]
    assert outcome.aggregate.item() == pytest.approx(4 / 3)


def slow(rows, f):
    left = list(range(len(rows)))
    for _ in range(f):
        mean = rows[left].mean(0)
        left.remove(max(left, key=lambda i: np.linalg.norm(rows[i] - mean)))
    return left


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("f", [0, 2, 4])
def test_against_a_slow_reference(seed, f, aggregate):
    rows = np.random.default_rng(seed).standard_normal((10, 40)).astype(np.float32) + 50
    rows[:3] += 2
    left = slow(rows.astype(float), f)
    assert aggregate("faba", rows, f=f).selected.nonzero()[:, 0].tolist() == left
    np.testing.assert_allclose(faba(torch.from_numpy(rows), f), rows[left].mean(0), rtol=1e-5)


def test_huge_rows_are_dropped(aggregate):
    rows = torch.randn(9, 15, generator=torch.Generator().manual_seed(0))
    rows[2], rows[7] = 1e30, -1e30
    assert not aggregate("faba", rows, f=2).selected[[2, 7]].any()


@pytest.mark.parametrize("factor", [1e9, 1e30])
def test_beside_a_huge_row_the_others_are_still_told_apart(factor, aggregate):
    rows = np.random.default_rng(1).standard_normal((12, 30)).astype(np.float32)
    rows[3] *= np.float32(factor)
    left = slow(rows.astype(float), 3)
    assert aggregate("faba", rows, f=3).selected.nonzero()[:, 0].tolist() == left


def test_what_is_infeasible():
    assert "n > 2f" in FABA().infeasible(6, 3)
    with pytest.raises(InfeasibleError, match="n = 6, f = 3"):
        faba(torch.ones(6, 2), 3)
