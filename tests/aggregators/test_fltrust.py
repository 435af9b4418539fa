import pytest
import torch

from robustbench_fl.aggregators.fltrust import fltrust
from robustbench_fl.api.build import make

ROWS = [[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [3.0, 4.0]]
ROOT = [2.0, 0.0]


def test_by_hand(aggregate):
    # Cosines 1, 0, −1, 0.6; each trusted update is brought to length 2; trust sums to 1.6:
    # (1·(2, 0) + 0.6·(1.2, 1.6)) / 1.6 = (1.7, 0.6).
    outcome = aggregate("fltrust", ROWS, root_update=ROOT)
    assert outcome.aggregate.tolist() == pytest.approx([1.7, 0.6])
    assert outcome.scores.tolist() == pytest.approx([0, 1, 2, 0.4])
    assert outcome.selected.tolist() == [True, False, False, True]
    assert outcome.weights.tolist() == pytest.approx([1.25, 0, 0, 0.15])
    assert outcome.rejected is None
    assert fltrust(torch.tensor(ROWS), torch.tensor(ROOT)).tolist() == pytest.approx([1.7, 0.6])


def test_the_length_of_an_update_does_not_matter():
    scaled = torch.tensor(ROWS) * torch.tensor([[1e3], [1.0], [7.0], [1e-3]])
    assert fltrust(scaled, torch.tensor(ROOT)).tolist() == pytest.approx([1.7, 0.6])


def test_nobody_is_trusted():
    assert fltrust(torch.tensor([[-1.0, 0.0], [0.0, 5.0]]), torch.tensor(ROOT)).tolist() == [0, 0]


def test_no_direction_no_trust():
    assert fltrust(torch.zeros(2, 2), torch.tensor(ROOT)).tolist() == [0, 0]
    assert fltrust(torch.tensor(ROWS), torch.zeros(2)).tolist() == [0, 0]
    one_zero = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert fltrust(one_zero, torch.tensor(ROOT)).tolist() == pytest.approx([2, 0])


def test_a_row_of_1e30_is_trusted_for_its_direction_only():
    rows = torch.tensor([[1e30, 1e30], [1.0, 0.0]])
    trust = 2**-0.5
    expected = [(trust * 2 * trust + 2) / (1 + trust), trust * 2 * trust / (1 + trust)]
    assert fltrust(rows, torch.tensor(ROOT)).tolist() == pytest.approx(expected, rel=1e-5)


def test_it_needs_root_data():
    assert {str(need) for need in make("aggregators", "fltrust").needs} == {"root_data"}
