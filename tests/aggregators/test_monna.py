import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.monna import MoNNA, monna
from robustbench_fl.api import InfeasibleError, Need


def test_the_server_as_a_node_by_hand(line, aggregate):
    # From 6 the updates 0, 1, 3, 7, 20 are at 6, 5, 3, 1, 14: without two, 1, 3, 7 and 6 itself.
    outcome = aggregate("monna", line, f=2, root_update=[6.0])
    assert outcome.aggregate.item() == pytest.approx((1 + 3 + 7 + 6) / 4)
    assert outcome.selected.tolist() == [False, True, True, True, False]
    assert outcome.scores.tolist() == pytest.approx([6, 5, 3, 1, 14])
    assert monna(line, torch.tensor([6.0]), 2).item() == pytest.approx(17 / 4)


def test_a_trusted_client_by_hand(line, aggregate):
    outcome = aggregate("monna(trusted=9)", line, f=2, client_ids=(4, 9, 1, 0, 2))
    # The second row, 1: itself, 0 and 3.
    assert outcome.weights.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0])
    assert outcome.aggregate.item() == pytest.approx(4 / 3)
    absent = aggregate("monna(trusted=9)", line, f=2, client_ids=(4, 3, 1, 0, 2))
    assert absent.aggregate.tolist() == [0]


@pytest.mark.parametrize("n", [10, 13])
def test_byzfl(n, aggregate):
    byzfl = pytest.importorskip("byzfl")
    rows = np.random.default_rng(n).standard_normal((n, 500)).astype(np.float32)
    rows[:3] += 2
    for idx in (0, 5):
        found = aggregate(f"monna(trusted={idx})", rows, f=3, client_ids=tuple(range(n))).aggregate
        np.testing.assert_allclose(found, byzfl.MoNNA(3, idx)(rows.copy()), rtol=1e-5, atol=2e-6)


def test_outliers_are_left_out(aggregate):
    rows = torch.randn(9, 20, generator=torch.Generator().manual_seed(0))
    rows[0], rows[4] = 1e30, -1e30
    outcome = aggregate("monna", rows, f=2, root_update=rows[8])
    assert not outcome.selected[[0, 4]].any()
    assert outcome.aggregate.abs().max() < 10


def test_needs_and_feasibility():
    assert MoNNA().needs == {Need.F, Need.ROOT_DATA}
    assert MoNNA(trusted=3).needs == {Need.F, Need.CLIENT_IDS}
    assert MoNNA().infeasible(4, 2) is None
    assert "of 4 nodes" in MoNNA(trusted=0).infeasible(4, 2)
    with pytest.raises(InfeasibleError, match="f = 3"):
        monna(torch.ones(5, 2), torch.ones(2), 3)
