import numpy as np
import pytest

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.profile import gaps, share_within


def test_gaps_by_hand(grid, record):
    cells = grid(
        {
            "mean": {"none": 0.9, "ipm": 0.2, "alie": 0.6},
            "median": {"none": 0.8, "ipm": 0.7, "alie": 0.55},
            "krum": {"none": 0.8, "ipm": 0.65},
            "oracle_mean": {"none": 0.9, "ipm": 0.9, "alie": 0.9},
        }
    )
    cells.append(record("krum", "alie", status="infeasible"))
    table = gaps(frame(cells))
    # Under ipm the best is median with 0.7, under alie mean with 0.6; the baseline is no competitor.
    assert table.loc[(0, "ipm")].to_dict() == pytest.approx({"krum": 0.05, "mean": 0.5, "median": 0.0})
    assert table.loc[(0, "alie")].to_dict() == pytest.approx({"krum": np.inf, "mean": 0.0, "median": 0.05})
    assert len(table) == 2
    deltas = np.array([0.0, 0.05, 0.5])
    assert share_within(table["median"], deltas).tolist() == [0.5, 1.0, 1.0]
    assert share_within(table["mean"], deltas).tolist() == [0.5, 0.5, 1.0]
    assert share_within(table["krum"], deltas).tolist() == [0.0, 0.5, 0.5]


def test_a_rule_that_lacks_a_seed_has_no_result_there(grid, record):
    cells = [*grid({"mean": {"ipm": 0.4}, "median": {"ipm": 0.6}}), record("mean", "ipm", 0.4, seed=1)]
    cells.append(record("median", "ipm", status="failed", seed=1))
    assert gaps(frame(cells)).loc[(0, "ipm")].to_dict() == {"mean": 0.0, "median": np.inf}


def test_no_attacked_cell(grid):
    assert gaps(frame(grid({"mean": {"none": 0.9}, "median": {"none": 0.8}}))).empty


def test_a_strength_that_was_picked_for_others_is_no_failure(grid):
    """Each rule stands at its own worst member of the family."""
    cells = grid(
        {
            "mean": {"ipm": 0.6, "ipm(epsilon=100)": 0.2},
            "median": {"ipm": 0.6, "ipm(epsilon=2)": 0.5},
            "krum": {"ipm": 0.7},
        }
    )
    for cell in cells:
        cell["facts"]["family"] = "ipm"
    table = gaps(frame(cells))
    assert table.to_dict("records") == [pytest.approx({"krum": 0.0, "mean": 0.5, "median": 0.2})]
