import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustbench_fl.aggregators._near_median import mean_near_median
from robustbench_fl.aggregators.meamed import meamed
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import InfeasibleError


def test_by_hand(line, aggregate):
    # 0 1 3 7 20 around 3: distances 3 2 0 4 17.
    assert meamed(line, 0).item() == pytest.approx(31 / 5)
    assert meamed(line, 1).item() == pytest.approx(11 / 4)
    assert meamed(line, 2).item() == pytest.approx(4 / 3)
    assert aggregate("meamed", line, f=2).aggregate.item() == pytest.approx(4 / 3)


def test_the_median_of_an_even_number_is_between_the_middles():
    # Around 10.5 the three nearest are 8 13 14 (2.5 2.5 3.5); around the lower middle, 8, it would be
    # 5 8 13.
    rows = torch.tensor([[0.0], [5.0], [8.0], [13.0], [14.0], [30.0]])
    assert mean_near_median(rows, 3).item() == pytest.approx(35 / 3)


def test_the_smaller_of_two_equally_far():
    rows = torch.tensor([[0.0], [2.0], [4.0]])
    assert meamed(rows, 1).item() == 1


def test_values_far_away_leave_no_trace():
    rows = torch.tensor([[1.0], [1e30], [3.0], [-1e30], [2.0]])
    assert meamed(rows, 2).item() == 2


def test_one_client_and_equal_ones():
    assert meamed(torch.tensor([[3.0, -1.0]]), 0).tolist() == [3, -1]
    assert meamed(torch.full((7, 3), 0.1), 3).tolist() == pytest.approx([0.1] * 3)


def test_infeasible_with_numbers():
    assert make("aggregators", "meamed").infeasible(9, 4) is None
    assert "n = 8, f = 4 asks for 9" in make("aggregators", "meamed").infeasible(8, 4)
    with pytest.raises(InfeasibleError, match="n = 8, f = 4"):
        meamed(torch.zeros(8, 1), 4)


@given(
    arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.integers(-40, 40)),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_any_count_against_sorting_by_distance(rows, data):
    count = data.draw(st.integers(1, len(rows)))
    columns = np.sort(rows, axis=0)
    found = mean_near_median(torch.from_numpy(columns), count)
    for column, value in zip(columns.T, found.tolist(), strict=True):
        nearest = sorted(column, key=lambda x: (abs(float(x) - float(np.median(column))), x))[:count]
        assert value == pytest.approx(np.mean(nearest), abs=1e-4)
