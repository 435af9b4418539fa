import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.dnc import dnc
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import InfeasibleError


def slow_dnc(rows: np.ndarray, dropped: int, rng: np.random.Generator, iterations: int, b: int) -> np.ndarray:
    """Return who is never dropped, from singular value decompositions of the drawn columns."""
    kept = np.ones(len(rows), bool)
    for _ in range(iterations):
        columns = rows[:, rng.choice(rows.shape[1], b, replace=False, shuffle=False)].astype(np.float64)
        centred = columns - columns.mean(0)
        scores = (centred @ np.linalg.svd(centred)[2][0]) ** 2
        kept[np.argsort(scores)[len(rows) - dropped :]] = False
    return kept


def test_by_hand(line, aggregate):
    # 0 1 3 7 20 with mean 6.2: squares 38.44 27.04 10.24 0.64 190.44.
    outcome = aggregate("dnc", line, f=1)
    assert outcome.scores.tolist() == pytest.approx([38.44, 27.04, 10.24, 0.64, 190.44], rel=1e-5)
    assert outcome.aggregate.item() == pytest.approx(11 / 4)
    assert aggregate("dnc(c=2)", line, f=1).aggregate.item() == pytest.approx(11 / 3)
    assert aggregate("dnc(c=0.5)", line, f=1).aggregate.item() == pytest.approx(6.2)
    assert aggregate("dnc", line, f=0).aggregate.item() == pytest.approx(6.2)


@pytest.mark.parametrize("seed", range(5))
def test_against_decompositions(seed, aggregate):
    rows = np.random.default_rng(100 + seed).standard_normal((12, 90)).astype(np.float32)
    rows[:3] += 0.7
    kept = slow_dnc(rows, 3, np.random.default_rng(seed), 4, 25)
    assert kept.any()
    outcome = aggregate("dnc(iterations=4, coordinates=25)", rows, f=3, rng_seed=seed)
    assert outcome.selected.tolist() == kept.tolist()
    np.testing.assert_allclose(outcome.aggregate.numpy(), rows[kept].mean(0), rtol=1e-4, atol=1e-6)


def test_nobody_left_takes_those_dropped_least_often(aggregate):
    # Each column has another outlier; one coordinate at a time each is dropped in turn.
    rows = 10 * torch.eye(4)
    rows[0] += 0.1
    outcome = aggregate("dnc(iterations=60, coordinates=1)", rows, f=1)
    assert outcome.selected.sum() == 3
    generator = np.random.default_rng(0)
    drawn = np.bincount([generator.choice(4, 1, replace=False, shuffle=False)[0] for _ in range(60)])
    assert drawn.min() > 0
    assert outcome.selected.tolist().index(False) == drawn.argmax()


def test_huge_identical_and_single_rows():
    rng = np.random.default_rng(0)
    rows = torch.cat((torch.tensor([[1e30] * 5, [-1e30] * 5]), torch.ones(7, 5)))
    assert dnc(rows, 2, rng).tolist() == [1] * 5
    assert dnc(torch.full((6, 2), 0.7), 2, rng).tolist() == pytest.approx([0.7, 0.7])
    assert dnc(torch.tensor([[5.0]]), 0, rng).item() == 5


def test_infeasible_with_numbers():
    assert make("aggregators", "dnc").infeasible(5, 4) is None
    assert "up to 6 of n = 6 clients (f = 3, c = 2)" in make("aggregators", "dnc(c=2)").infeasible(6, 3)
    with pytest.raises(InfeasibleError, match="n = 3 clients"):
        dnc(torch.zeros(3, 1), 3, np.random.default_rng(0))
