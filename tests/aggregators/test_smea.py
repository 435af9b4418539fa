from itertools import combinations

import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.smea import SMEA, smea
from robustbench_fl.api import InfeasibleError


def slow(rows, f):
    """The subset by the singular values of its centred updates."""
    best = min(
        combinations(range(len(rows)), len(rows) - f),
        key=lambda s: np.linalg.svd(rows[list(s)] - rows[list(s)].mean(0), compute_uv=False)[0],
    )
    return list(best)


def test_by_hand(line, aggregate):
    # Of 0, 1, 3, 7, 20 without two: {0, 1, 3} spreads least.
    outcome = aggregate("smea", line, f=2)
    assert outcome.selected.tolist() == [True, True, True, False, False]
    assert outcome.aggregate.item() == pytest.approx(4 / 3)
    # What is long in one direction loses against what is as long, but in two. Without one of the first
    # three, the pair at ±2 in one direction stays: scatter 8. Without one of the pair less is left.
    rows = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, -1.0], [2.0, 0.0], [-2.0, 0.0]])
    assert aggregate("smea", rows, f=1).selected.tolist().count(True) == 4
    assert not aggregate("smea", rows, f=1).selected[3:].all()


@pytest.mark.parametrize("seed", range(6))
def test_against_a_slow_reference(seed, aggregate):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((9, 30)).astype(np.float32) + 100 * (seed % 2)
    rows[: seed % 4] += 3 * rng.standard_normal(30)
    for f in (0, 1, 3):
        kept = slow(rows.astype(float), f)
        outcome = aggregate("smea", rows, f=f)
        assert outcome.selected.nonzero()[:, 0].tolist() == kept
        np.testing.assert_allclose(outcome.aggregate, rows[kept].mean(0), rtol=1e-5, atol=1e-5)


def test_the_documented_example_of_byzfl():
    rows = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    # Two of three equally spaced rows: the first two and the last two spread alike.
    assert smea(rows, 1).tolist() in ([2.5, 3.5, 4.5], [5.5, 6.5, 7.5])


def test_several_chunks_of_subsets(monkeypatch, aggregate):
    rows = np.random.default_rng(3).standard_normal((10, 20)).astype(np.float32)
    whole = aggregate("smea", rows, f=4).selected
    monkeypatch.setattr("robustbench_fl.aggregators.smea._CHUNK_VALUES", 36 * 7)
    assert aggregate("smea", rows, f=4).selected.equal(whole)


def test_huge_rows_are_left_out(aggregate):
    rows = torch.randn(9, 15, generator=torch.Generator().manual_seed(0))
    rows[0] = 1e30
    rows[5] = -1e30
    outcome = aggregate("smea", rows, f=2)
    assert not outcome.selected[[0, 5]].any()


@pytest.mark.parametrize("factor", [1e7, 1e30])
def test_beside_a_huge_row_the_others_are_still_told_apart(factor, aggregate):
    rows = np.random.default_rng(1).standard_normal((10, 30)).astype(np.float32)
    rows[3] *= np.float32(factor)
    outcome = aggregate("smea", rows, f=3)
    assert outcome.selected.nonzero()[:, 0].tolist() == slow(rows.astype(float), 3)


def test_what_is_infeasible():
    assert "n > 2f" in SMEA().infeasible(8, 4)
    assert "subsets" in SMEA().infeasible(40, 10)
    assert SMEA().infeasible(20, 6) is None
    with pytest.raises(InfeasibleError, match="n = 4, f = 2"):
        smea(torch.ones(4, 2), 2)
