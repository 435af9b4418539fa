import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.multi_metrics import (
    MultiMetrics,
    multi_metrics,
    total_distances,
    whitened_scores,
)
from robustbench_fl.api import Need


def test_distances_by_hand():
    rows = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    # (1 − cos)²: 1, 4, 1. L1: 3, 4, 5. Norms 1, 2, 3.
    assert total_distances(rows).tolist() == [
        pytest.approx([1 + 4, 3 + 4, 1 + 2]),
        pytest.approx([1 + 1, 3 + 5, 1 + 1]),
        pytest.approx([4 + 1, 4 + 5, 2 + 1]),
    ]


def test_scores_by_hand():
    # One measure with mean 2 and variance 1: the score is its square over 1. The other never varies.
    measures = torch.tensor([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]], dtype=torch.float64)
    assert whitened_scores(measures).tolist() == pytest.approx([1, 4, 9])
    assert whitened_scores(measures[:, :1] * 1000).tolist() == pytest.approx([1, 4, 9])
    # A copy of a measure adds nothing.
    double = torch.stack([measures[:, 0], 5 * measures[:, 0]], 1)
    assert whitened_scores(double).tolist() == pytest.approx([1, 4, 9])
    assert whitened_scores(measures[:1]).tolist() == [0]


def slow(rows, keep=0.3):
    n = len(rows)
    triples = np.zeros((n, 3))
    for i in range(n):
        for j in range(n):
            if i != j:
                a, b = rows[i], rows[j]
                norms = np.linalg.norm(a), np.linalg.norm(b)
                triples[i] += [
                    (1 - a @ b / norms[0] / norms[1]) ** 2,
                    np.abs(a - b).sum(),
                    abs(norms[0] - norms[1]),
                ]
    inverse = np.linalg.inv(np.cov(triples.T))
    scores = np.array([t @ inverse @ t for t in triples])
    kept = np.argsort(scores)[: max(1, int(keep * n))]
    return scores, rows[kept].mean(0)


@pytest.mark.parametrize("on", ["updates", "models"])
@pytest.mark.parametrize("seed", range(4))
def test_against_a_slow_reference(seed, on, aggregate):
    rng = np.random.default_rng(seed)
    rows = (rng.standard_normal((10, 60)) * rng.uniform(0.5, 2, (10, 1)) + 0.5).astype(np.float32)
    params = rng.standard_normal(60).astype(np.float32)
    offset = params.astype(float) if on == "models" else 0
    scores, step = slow(rows.astype(float) + offset)
    gated = {"params": torch.from_numpy(params)} if on == "models" else {}
    outcome = aggregate(f"multi_metrics(on={on})", rows, **gated)
    np.testing.assert_allclose(outcome.scores, scores, rtol=1e-3)
    np.testing.assert_allclose(outcome.aggregate, step - offset, rtol=1e-4, atol=1e-5)
    assert int(outcome.selected.sum()) == 3
    assert outcome.rejected is None


def test_the_minority_is_not_among_the_lowest(aggregate):
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(0.1 * rng.standard_normal((20, 200)) + 1).float()
    rows[:6] *= -4
    outcome = aggregate("multi_metrics(on=updates)", rows)
    assert not outcome.selected[:6].any()


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_clients_who_agree(n):
    row = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(multi_metrics(row.repeat(n, 1)), row)


def test_several_blocks_of_columns():
    rows = torch.randn(4, 30_000, generator=torch.Generator().manual_seed(1))
    expected = [sum((a - b).abs().double().sum() for b in rows) for a in rows]
    np.testing.assert_allclose(total_distances(rows)[:, 1], expected, rtol=1e-6)


def test_huge_rows():
    rows = torch.randn(10, 30, generator=torch.Generator().manual_seed(2)) + 1
    rows[0] = 1e30
    step = multi_metrics(rows)
    assert step.norm() < 20


def test_needs():
    assert MultiMetrics(on="updates").needs == frozenset()
    assert MultiMetrics().needs == {Need.MODEL}
    assert MultiMetrics(on="updates").scale
    assert not MultiMetrics().scale
