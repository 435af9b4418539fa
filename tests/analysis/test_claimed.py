"""What a claim reports of a rule: the board's row over all blocks, and in each block that the rule met."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from robustbench_fl.analysis.claimed import _reported
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.core.claim import ClaimError


def test_a_setting_that_only_the_reference_has_is_no_block_of_the_rule(grid):
    plain = {"mean": {"none": 0.9, "ipm": 0.3}}
    made = grid({**plain, "median": {"none": 0.8, "ipm": 0.7}}, malicious=0.2) + grid(plain, malicious=0.3)
    places = {0.2: 0, 0.3: 1}
    rows = [
        SimpleNamespace(key=cell["key"], sweep=0, setting=places[cell["cell"]["malicious"]]) for cell in made
    ]
    found = _reported(frame(made), "median", rows, frozenset({0}))
    board = leaderboard(frame(made)).table.set_index("aggregator").loc["median"]
    assert found["whole"]["coverage"] == board["coverage"] == "2/4"
    (block,) = found["blocks"]
    assert (block["setting"], block["assumed_f"], block["numbers"]["coverage"]) == (0, None, "2/2")
    assert block["numbers"]["worst_accuracy"] == found["whole"]["worst_accuracy"] == 0.7
    with pytest.raises(ClaimError, match="No cell of a main sweep is of the rule median"):
        _reported(frame(made), "median", rows, frozenset())
