import pytest
import torch

from robustbench_fl.aggregators.arc import arc
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import InfeasibleError


def test_by_hand(line, aggregate):
    rows = line + 1  # 1 2 4 8 21
    # f = 1: 2·1·4/5 = 1.6, one is clipped; f = 2: 2·2·3/5 = 2.4, two are.
    assert arc(rows, 0).tolist() == [1] * 5
    assert arc(rows, 1).tolist() == pytest.approx([1, 1, 1, 1, 8 / 21])
    assert arc(rows, 2).tolist() == pytest.approx([1, 1, 1, 0.5, 4 / 21])
    assert aggregate("arc > mean", rows, f=2).aggregate.item() == pytest.approx(15 / 5)


def test_where_the_number_of_clipped_is_whole():
    # 2·3·7/10 = 4.2, 2·15·35/50 = 21, which (2·15/50)·35 in floating point also should be;
    # 2·7·(49 − 7)/49 = 12 exactly, 11.999… there.
    norms = torch.arange(1.0, 50)[:, None]
    factors = arc(norms, 7)
    assert (factors < 1).sum() == 12
    assert factors[-1].item() == pytest.approx(37 / 49)


def test_zero_identical_and_huge_rows():
    assert arc(torch.zeros(4, 3), 1).tolist() == [1] * 4
    assert arc(torch.full((5, 3), 0.2), 2).tolist() == [1] * 5
    assert arc(torch.tensor([[1e30], [1.0], [2.0]]), 1).tolist() == pytest.approx([2e-30, 1, 1])
    assert arc(torch.tensor([[3.0]]), 0).tolist() == [1]


def test_infeasible_with_numbers():
    assert "n = 3, f = 3" in make("aggregators", "arc > mean").infeasible(3, 3)
    with pytest.raises(InfeasibleError, match="n = 3, f = 3"):
        arc(torch.zeros(3, 1), 3)
