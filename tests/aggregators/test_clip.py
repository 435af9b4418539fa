import pytest
import torch

from robustbench_fl.aggregators.clip import clip
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import UsageError

ROWS = torch.tensor([[3.0, 4.0], [0.6, 0.8], [0.0, 0.0], [0.0, 1e30]])


def test_by_hand(aggregate):
    assert clip(ROWS, 2.0).tolist() == pytest.approx([0.4, 1, 1, 2e-30])
    # (1.2 + 0.6 + 0 + 0) / 4, (1.6 + 0.8 + 0 + 2) / 4
    outcome = aggregate("clip > mean", ROWS)
    assert outcome.aggregate.tolist() == pytest.approx([0.45, 1.1])
    assert outcome.weights.tolist() == pytest.approx([0.1, 0.25, 0.25, 5e-31])
    assert aggregate("clip(c=10) > mean", ROWS[:3]).aggregate.tolist() == pytest.approx([1.2, 1.6])


def test_a_bound_of_zero_is_refused():
    with pytest.raises(UsageError, match="'c' must be a number in \\(0, inf\\)"):
        make("aggregators", "clip(c=0) > mean")
