import numpy as np
import pytest
import torch

from robustbench_fl.aggregators._spectral import principal_projections
from robustbench_fl.aggregators.caf import caf
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import InfeasibleError


def slow_caf(rows: np.ndarray, f: int, *, over_all: bool = False) -> np.ndarray:
    """Return the filtered mean from d by d covariances; `over_all` lets τ_max range over all clients."""
    values, c = rows.astype(np.float64), np.ones(len(rows))
    best, least = values.mean(0), np.inf
    while True:
        mean = c @ values / c.sum()
        centred = values - mean
        eigenvalues, vectors = np.linalg.eigh((c[:, None] * centred).T @ centred / c.sum())
        if eigenvalues[-1] < least:
            best, least = mean, eigenvalues[-1]
        tau = (centred @ vectors[:, -1]) ** 2
        c = c * np.maximum(0, 1 - tau / (tau if over_all else tau[c > 0]).max())
        if c.sum() <= len(rows) - 2 * f:
            return best


def test_by_hand(aggregate):
    # 0 1 2 9, f = 1: mean 3, τ = 9 4 1 36, variance 12.5, so c = 3/4 8/9 35/36 0 with sum 47/18 > 2.
    # Then μ = (8/9 + 70/36) / (47/18) = 51/47; the variance is below 1, and 0 and 2 lose next.
    rows = torch.tensor([[0.0], [1.0], [2.0], [9.0]])
    outcome = aggregate("caf", rows, f=1)
    assert outcome.aggregate.item() == pytest.approx(51 / 47)
    assert outcome.scores.tolist() == pytest.approx([1 / 4, 1 / 9, 1 / 36, 1])
    assert outcome.selected.tolist() == [True, True, True, False]
    assert outcome.weights.sum().item() == pytest.approx(1)


def test_without_malicious_clients_it_is_the_mean(line):
    assert caf(line, 0).item() == pytest.approx(6.2)


@pytest.mark.parametrize("seed", range(8))
def test_against_covariances(seed):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((13, 6)).astype(np.float32)
    rows[:3] += 4 * rng.standard_normal(6)
    expected = slow_caf(rows, 4)
    np.testing.assert_allclose(caf(torch.from_numpy(rows), 4).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_projections_against_the_covariance():
    rng = np.random.default_rng(0)
    rows, weights = rng.standard_normal((9, 5)), rng.uniform(0.1, 1, 9)
    centred = rows - weights @ rows / weights.sum()
    values, vectors = np.linalg.eigh((weights[:, None] * centred).T @ centred / weights.sum())
    variance, projections = principal_projections(rows @ rows.T, weights)
    assert variance == pytest.approx(values[-1])
    np.testing.assert_allclose(np.abs(projections), np.abs(centred @ vectors[:, -1]), atol=1e-10)


def test_huge_identical_and_single_rows(aggregate):
    rows = torch.tensor([[1e30, 0.0], [2.0, 2.0], [3.0, 1.0], [0.0, -1e30], [4.0, 3.0]])
    outcome = aggregate("caf", rows, f=2)
    assert not outcome.selected[[0, 3]].any()
    assert outcome.aggregate.tolist() == pytest.approx([3, 2], abs=1)
    assert caf(torch.full((6, 2), 0.7), 2).tolist() == pytest.approx([0.7, 0.7])
    assert caf(torch.tensor([[5.0]]), 0).item() == 5


def test_infeasible_with_numbers():
    assert make("aggregators", "caf").infeasible(9, 4) is None
    assert "n = 8, f = 4 asks for 9" in make("aggregators", "caf").infeasible(8, 4)
    with pytest.raises(InfeasibleError, match="n = 8, f = 4"):
        caf(torch.zeros(8, 1), 4)


@pytest.mark.parametrize("seed", range(4))
def test_byzfl_with_one_coordinate_takes_the_maximum_over_all(seed):
    byzfl = pytest.importorskip("byzfl")
    # With more coordinates its eigenvalue is multiplied by the cosine of a random vector. With one it
    # is exact, and what is left of the difference is τ_max over all clients.
    rng = np.random.default_rng(seed)
    rows = np.append(rng.standard_normal(8), 9.0)[:, None]
    np.testing.assert_allclose(byzfl.CAF(2)(rows), slow_caf(rows, 2, over_all=True), rtol=1e-6, atol=1e-9)
    ours = caf(torch.from_numpy(rows).float(), 2).numpy()
    np.testing.assert_allclose(ours, slow_caf(rows, 2), rtol=1e-4, atol=1e-5)
