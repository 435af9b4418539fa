import numpy as np
import pytest
import torch

from robustbench_fl.aggregators.phocas import Phocas, phocas
from robustbench_fl.api import InfeasibleError


def test_by_hand(line, aggregate):
    # Of 0, 1, 3, 7, 20 the mean without the ends is 11/3; nearest are 3, 1, 7, 0.
    assert aggregate("phocas", line, f=1).aggregate.item() == pytest.approx(11 / 4)
    # Without two at either end it is 3; nearest are 3, 1 and 0 (at 3; 7 is at 4).
    assert aggregate("phocas", line, f=2).aggregate.item() == pytest.approx(4 / 3)


def slow(rows, f):
    n, step = len(rows), []
    for column in rows.T:
        centre = np.sort(column)[f : n - f].mean()
        step.append(sorted(column, key=lambda x: (abs(x - centre), x))[: n - f])
    return np.mean(step, axis=1)


@pytest.mark.parametrize("n", [5, 8, 11])
@pytest.mark.parametrize("f", [0, 1, 2])
def test_against_a_slow_reference(n, f):
    rows = np.random.default_rng(n).standard_normal((n, 6000)).astype(np.float32)
    rows[:2] += 4
    found = phocas(torch.from_numpy(rows), f)
    np.testing.assert_allclose(found, slow(rows.astype(float), f), rtol=1e-4, atol=1e-6)


def test_what_is_infeasible():
    assert "n > 2f" in Phocas().infeasible(4, 2)
    with pytest.raises(InfeasibleError, match="n = 4, f = 2"):
        phocas(torch.ones(4, 2), 2)
