import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustbench_fl.aggregators.trimmed_mean import trimmed_mean
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import InfeasibleError


def test_by_hand(line, aggregate):
    assert trimmed_mean(line, 1).item() == pytest.approx(11 / 3)
    assert trimmed_mean(line, 2).item() == 3
    assert trimmed_mean(line, 0).item() == pytest.approx(6.2)
    assert aggregate("trimmed_mean", line, f=1).aggregate.item() == pytest.approx(11 / 3)
    assert aggregate("trimmed_mean(trim=0.4)", line).aggregate.item() == 3


def test_a_fraction_is_not_rounded_down_below_what_it_says():
    rule = make("aggregators", "trimmed_mean(trim=0.29)")
    rows = torch.arange(100.0)[:, None]
    assert rule.infeasible(100, 0) is None
    assert rule._cut(100, 0) == 29
    assert rule._cut(10, 0) == 2
    assert trimmed_mean(rows, 29).item() == pytest.approx(49.5)


def test_nothing_left():
    assert "2 of 4 would be cut" in make("aggregators", "trimmed_mean").infeasible(4, 2)
    with pytest.raises(InfeasibleError, match="2 of 4"):
        trimmed_mean(torch.zeros(4, 1), 2)


@given(
    arrays(
        np.float32, st.tuples(st.integers(1, 9), st.integers(1, 5)), elements=st.floats(-100, 100, width=32)
    ),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_against_numpy(rows, data):
    n = len(rows)
    cut = data.draw(st.integers(0, (n - 1) // 2))
    expected = np.sort(rows.astype(np.float64), axis=0)[cut : n - cut].mean(0)
    np.testing.assert_allclose(
        trimmed_mean(torch.from_numpy(rows), cut).numpy(), expected, rtol=1e-5, atol=1e-4
    )
