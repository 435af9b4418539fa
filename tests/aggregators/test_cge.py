import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.cge import CGE, cge
from robustbench_fl.api import InfeasibleError


def test_by_hand(aggregate):
    rows = torch.tensor([[3.0, 4.0], [0.0, -1.0], [6.0, 8.0], [2.0, 0.0]])
    # Norms 5, 1, 10, 2.
    outcome = aggregate("cge", rows, f=2)
    assert outcome.aggregate.tolist() == [1.0, -0.5]
    assert outcome.selected.tolist() == [False, True, False, True]
    assert outcome.scores.tolist() == pytest.approx([5, 1, 10, 2])


@pytest.mark.parametrize("f", [0, 3, 8])
def test_against_a_slow_reference(f):
    rows = np.random.default_rng(f).standard_normal((9, 50)).astype(np.float32)
    kept = sorted(range(9), key=lambda i: np.linalg.norm(rows[i].astype(float)))[: 9 - f]
    np.testing.assert_allclose(cge(torch.from_numpy(rows), f), rows[kept].mean(0), rtol=1e-5, atol=1e-6)


def test_what_is_infeasible():
    assert "leaves none" in CGE().infeasible(3, 3)
    with pytest.raises(InfeasibleError, match="n = 3, f = 3"):
        cge(torch.ones(3, 2), 3)
