import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.foundation import foundation
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import InfeasibleError


def slow_foundation(rows: np.ndarray, f: int, copies: int, inner: str) -> np.ndarray:
    values = rows.astype(np.float64)
    highest, lowest = values.max(0), values.min(0)
    scores = [min(np.linalg.norm(u - highest), np.linalg.norm(u - lowest)) for u in values]
    everything = np.array([*values, *[values[int(np.argmax(scores))]] * copies])
    if inner == "median":
        return np.median(everything, axis=0)
    return np.sort(everything, axis=0)[f : len(everything) - f].mean(0)


def test_by_hand(line, aggregate):
    # Distances from 0 and 20: 0 1 3 7 0, so 7 twice: 0 1 3 7 7 7 20.
    outcome = aggregate("foundation", line, f=1)
    assert outcome.aggregate.item() == pytest.approx(25 / 5)
    assert outcome.scores.tolist() == pytest.approx([0, -1, -3, -7, 0])
    assert aggregate("foundation", line, f=2).aggregate.item() == pytest.approx(17 / 3)
    assert aggregate("foundation(copies=0)", line, f=1).aggregate.item() == pytest.approx(11 / 3)
    assert aggregate("foundation(inner=median)", line).aggregate.item() == 7
    assert aggregate("foundation(copies=1, inner=median)", line).aggregate.item() == 5


@pytest.mark.parametrize("inner", ["trimmed_mean", "median"])
@pytest.mark.parametrize("copies", [None, 0, 3])
def test_against_appending(copies, inner):
    rows = np.random.default_rng(0).standard_normal((11, 5000)).astype(np.float32)
    expected = slow_foundation(rows, 2, 5 if copies is None else copies, inner)
    found = foundation(torch.from_numpy(rows), 2, copies=copies, inner=inner)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_one_far_row_is_copied_and_moves_the_trimmed_mean_only():
    rows = torch.randn(10, 400, generator=torch.Generator().manual_seed(0))
    rows[0] = 1e6 * rows[0].sign()
    assert foundation(rows, 2).abs().max() > 1e5
    assert foundation(rows, 2, inner="median").abs().max() < 10
    assert not make("aggregators", "foundation").robust
    assert make("aggregators", "foundation(inner=median)").robust


def test_huge_identical_and_single_rows():
    rows = torch.cat((torch.full((1, 3), 1e30), torch.ones(6, 3), 2 * torch.ones(2, 3)))
    assert foundation(rows, 1).isfinite().all()
    assert foundation(torch.full((6, 2), 0.7), 2).tolist() == pytest.approx([0.7, 0.7])
    assert foundation(torch.tensor([[5.0]]), 0).item() == 5


def test_infeasible_with_numbers():
    rule = make("aggregators", "foundation")
    assert rule.infeasible(4, 2) is None
    assert "f = 3 at either end of n + copies = 6 rows" in rule.infeasible(4, 3)
    assert make("aggregators", "foundation(inner=median)").infeasible(4, 4) is None
    with pytest.raises(InfeasibleError, match="n \\+ copies = 6"):
        foundation(torch.zeros(4, 1), 3)
