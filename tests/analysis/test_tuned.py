"""Rows of tuned rules: a cell stands for the rule, for its tuned form, or for both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from robustbench_fl.analysis.compare import ALL, compare
from robustbench_fl.analysis.flags import flags
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard

Record = dict[str, Any]


@pytest.fixture
def cells(grid: Callable[..., list[Record]]) -> list[Record]:
    """`mean` is tuned to another learning rate, `median` to itself; the sweep's is 0.1."""
    accuracies = {"mean": {"none": 0.9, "ipm": 0.4}, "median": {"none": 0.8, "ipm": 0.6}}
    cells = [cell for seed in range(5) for cell in grid(accuracies, seed=seed)]
    better = [
        cell for seed in range(5) for cell in grid({"mean": {"none": 0.95, "ipm": 0.7}}, seed=seed, lr=0.2)
    ]
    for cell in better:
        cell["stands_for"] = [{"aggregator": "tuned > mean", "lr": 0.1}]
    for cell in cells:
        if cell["labels"]["aggregator"] == "median":
            rows = [{"aggregator": name, "lr": 0.1} for name in ("median", "tuned > median")]
            cell["stands_for"] = rows
    return cells + better


def test_tuned_rows_stand_in_the_same_block(cells: list[Record]) -> None:
    table = frame(cells)
    assert set(table["lr"]) == {0.1}
    assert len(table) == 40
    assert len(set(table["key"])) == 30
    board = leaderboard(table)
    rows = board.table.set_index("aggregator")
    assert set(rows["coverage"]) == {"10/10"}
    assert rows["worst_accuracy"].round(3).to_dict() == {
        "tuned > mean": 0.7, "median": 0.6, "tuned > median": 0.6, "mean": 0.4,
    }  # fmt: skip
    assert rows["tuned_to"].dropna().to_dict() == {
        "tuned > mean": "mean, lr 0.2", "tuned > median": "median, lr 0.1",
    }  # fmt: skip
    assert "tuned > RULE: the rule with" in board.caption
    assert "Made from 30 cells" in board.caption


def test_tuned_rows_are_compared(cells: list[Record]) -> None:
    found = compare(cells, cells).table.set_index("aggregator")
    counts = dict.fromkeys(["mean", "tuned > mean", "median", "tuned > median"], 10)
    assert found["ties"].to_dict() == {**counts, ALL: 40}


def test_tuning_on_one_side_is_flagged(cells: list[Record]) -> None:
    assert "unequal_tuning" not in {flag.name for flag in flags(frame(cells))}
    for cell in cells:
        if cell["labels"]["aggregator"] == "median":
            del cell["stands_for"]
    found = {flag.name: flag for flag in flags(frame(cells))}
    assert "tuned > mean" in found["unequal_tuning"].cause
