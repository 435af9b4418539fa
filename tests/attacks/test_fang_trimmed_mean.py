from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_fl.api import build
from robustbench_fl.attacks.fang_trimmed_mean import full_ranges, partial_ranges
from robustbench_fl.core.errors import UsageError

# One column a case of the paper: mean > 0 with min > 0 and min < 0; mean < 0 with max < 0 and
# max > 0; mean = 0.
HONEST = [
    [2.0, -1.0, -8.0, -9.0, -1.0],
    [4.0, 5.0, -6.0, 3.0, 1.0],
]


def test_full_knowledge_ranges() -> None:
    low, high = full_ranges(torch.tensor(HONEST), 2)
    assert low.tolist() == [1, -2, -6, 3, 0]
    assert high.tolist() == [2, -1, -3, 6, 0]


def test_partial_knowledge_ranges() -> None:
    # Mean 3, σ √2; mean −7, σ √2; mean 0.
    low, high = partial_ranges(torch.tensor(HONEST)[:, [0, 2, 4]])
    s = np.sqrt(2)
    np.testing.assert_allclose(low, [3 - 4 * s, -7 + 3 * s, 0], rtol=1e-12)
    np.testing.assert_allclose(high, [3 - 3 * s, -7 + 4 * s, 0], rtol=1e-12)


@pytest.mark.parametrize("knows", ["all", "colluders"])
def test_values_fill_their_ranges(make_round, knows: str) -> None:
    known = torch.tensor(HONEST).repeat(100, 1)
    other = torch.full((200, 5), 1e6)
    world = make_round(*((other, known) if knows == "all" else (known, other)))
    rows = world.craft(build.make("attacks", f"fang_trimmed_mean(knows={knows})")).double()
    low, high = full_ranges(known) if knows == "all" else partial_ranges(known)
    width = (high - low).clamp(min=1e-9)
    share = ((rows - low) / width)[:, :4]
    assert share.min() > -1e-5
    assert share.max() < 1 + 1e-5
    np.testing.assert_allclose(share.mean(0), 0.5, atol=0.1)
    np.testing.assert_allclose(share.std(0), 1 / np.sqrt(12), atol=0.05)
    assert rows[:, 4].abs().max() == 0
    assert len(share[:, 0].unique()) > 150, "each attacker draws anew"
    assert abs(np.corrcoef(share.T.numpy())[0, 1]) < 0.3, "each coordinate is drawn anew"


def test_b_is_for_full_knowledge() -> None:
    build.make("attacks", "fang_trimmed_mean(b=3, knows=all)")
    with pytest.raises(UsageError, match="knows=all"):
        build.make("attacks", "fang_trimmed_mean(b=3)")
