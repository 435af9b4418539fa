"""Strengths picked for each rule: no holes, each rule at its own worst, defaults beside, the edge flagged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from robustbench_fl.analysis import claimed
from robustbench_fl.analysis.blocks import completed, in_blocks, picked_strengths
from robustbench_fl.analysis.flags import flags
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.analysis.pairs import pair_table
from robustbench_fl.analysis.scores import attacked
from robustbench_fl.analysis.strengths import filled, worst_at_edge

Record = dict[str, Any]
PICKED = {
    "mean": {"none": 0.9, "ipm": 0.6, "ipm(epsilon=100)": 0.2},
    "median": {"none": 0.9, "ipm": 0.6, "ipm(epsilon=2)": 0.5},
}


@pytest.fixture
def picked(grid: Callable[..., list[Record]]) -> list[Record]:
    """Two rules that are equal at the default, each with another strength that is worst."""
    cells = [cell for seed in range(5) for cell in grid(PICKED, seed=seed)]
    for cell in cells:
        cell["metrics"]["accuracy"] += 0.001 * (
            (7 * cell["cell"]["seed"] + len(cell["labels"]["attack"])) % 5
        )
        if cell["labels"]["attack"] != "none":
            cell["facts"] |= {"family": "ipm", "edge": "100" in cell["labels"]["attack"]}
    return cells


def test_a_strength_picked_for_another_rule_is_no_hole(picked: list[Record]) -> None:
    assert len(completed(frame(picked))) == len(picked)
    for cell in picked:
        cell["facts"].pop("family", None)
    assert len(completed(frame(picked))) == len(picked) + 10


def test_a_rule_without_the_family_or_a_seed_has_holes(picked: list[Record]) -> None:
    rest = [
        cell
        for cell in picked
        if cell["labels"]["aggregator"] == "mean" or "ipm" not in cell["labels"]["attack"]
    ]
    assert (completed(frame(rest))["status"] == "missing").sum() == 10
    rest = [
        cell
        for cell in picked
        if (cell["labels"]["aggregator"], cell["labels"]["attack"], cell["cell"]["seed"])
        != ("mean", "ipm", 3)
    ]
    assert (completed(frame(rest))["status"] == "missing").sum() == 1


def test_each_rule_is_compared_at_its_own_worst(picked: list[Record]) -> None:
    hurt = attacked(in_blocks(completed(frame(picked))))
    whole = filled(hurt)
    means = whole.groupby(["aggregator", "attack"])["accuracy"].mean().round(2)
    assert means["mean"].to_dict() == {"ipm": 0.6, "ipm(epsilon=100)": 0.2, "ipm(epsilon=2)": 0.2}
    assert means["median"].to_dict() == {"ipm": 0.6, "ipm(epsilon=100)": 0.5, "ipm(epsilon=2)": 0.5}
    assert filled(whole) is whole
    board = leaderboard(frame(picked)).table.set_index("aggregator")
    assert board["rank"].to_dict() == {"median": 1, "mean": 2}
    assert board["worst_accuracy"].round(2).to_dict() == {"median": 0.5, "mean": 0.2}
    assert board["worst_at_defaults"].round(2).to_dict() == {"median": 0.6, "mean": 0.6}
    (row,) = pair_table(frame(picked), "mean").table.to_dict("records")
    assert row["worst_gain"] == pytest.approx(0.3, abs=0.005)
    assert row["verdict"] == "better"


def test_no_defaults_stand_beside_a_sweep_without_picks(grid: Callable[..., list[Record]]) -> None:
    board = leaderboard(frame(grid({rule: {"none": 0.9, "ipm": 0.5} for rule in PICKED})))
    assert "worst_at_defaults" not in board.table


def test_the_worst_strength_at_the_edge_is_flagged(picked: list[Record]) -> None:
    assert worst_at_edge(in_blocks(completed(frame(picked)))) == ["ipm(epsilon=100)"]
    found = {flag.name: flag for flag in flags(frame(picked))}
    assert "ipm(epsilon=100)" in found["strength_at_edge"].cause
    for cell in picked:
        if cell["labels"]["attack"] == "ipm(epsilon=100)":
            cell["metrics"]["accuracy"] = 0.7
    assert "strength_at_edge" not in {flag.name for flag in flags(frame(picked))}


def test_means_count_a_family_once_at_the_worst_member(
    picked: list[Record], grid: Callable[..., Any]
) -> None:
    extra = {rule: {"none": 0.9, "mimic": 0.8} for rule in PICKED}
    cells = picked + [
        cell for seed in range(5) for cell in grid(extra, seed=seed) if cell["labels"]["attack"] == "mimic"
    ]
    board = leaderboard(frame(cells))
    table = board.table.set_index("aggregator")
    # By hand, up to the 0.002 that seeds add: (0.2 + 0.8) / 2 and (0.5 + 0.8) / 2, not thirds.
    assert table["mean_accuracy"].to_dict() == pytest.approx({"mean": 0.5, "median": 0.65}, abs=0.002)
    assert table["iqm_accuracy"].to_dict() == pytest.approx({"mean": 0.5, "median": 0.65}, abs=0.005)
    assert (table["mean_low"] < table["mean_accuracy"]).all()
    assert "several members: ipm" in board.caption
    (row,) = pair_table(frame(cells), "mean").table.to_dict("records")
    assert row["mean_gain"] == pytest.approx(0.15, abs=0.002)
    assert row["mean_gain_low"] < 0.15 < row["mean_gain_high"]


BY_NAME = {
    "mean": {"none": 0.9, "fang_trimmed_mean": 0.6, "fang_krum": 0.2},
    "median": {"none": 0.9, "fang_trimmed_mean": 0.7, "fang_trimmed_mean(knows=all)": 0.5},
}


@pytest.fixture
def by_name(grid: Callable[..., list[Record]]) -> list[Record]:
    """Two rules, for one of which another attack of the family is worst, one without a parameter."""
    cells = [cell for seed in range(5) for cell in grid(BY_NAME, seed=seed)]
    for cell in cells:
        cell["metrics"]["accuracy"] += 0.001 * cell["cell"]["seed"]
        if cell["labels"]["attack"] != "none":
            cell["facts"] |= {"family": "fang"}
    return cells


def test_an_attack_without_a_parameter_may_be_picked_too(by_name: list[Record]) -> None:
    table = completed(frame(by_name))
    assert len(table) == len(by_name)
    assert picked_strengths(table) == {"fang_krum", "fang_trimmed_mean(knows=all)"}
    board = leaderboard(frame(by_name)).table.set_index("aggregator")
    assert board["note"].to_dict() == {"median": "", "mean": ""}
    assert board["rank"].to_dict() == {"median": 1, "mean": 2}
    assert board["worst_at_defaults"].round(2).to_dict() == {"median": 0.7, "mean": 0.6}
    means = filled(attacked(in_blocks(table))).groupby(["aggregator", "attack"])["accuracy"].mean().round(2)
    assert (means["median", "fang_krum"], means["mean", "fang_trimmed_mean(knows=all)"]) == (0.5, 0.2)


def test_attacks_that_all_rules_met_are_as_the_sweep_names_them(by_name: list[Record]) -> None:
    alike = [cell for cell in by_name if "(" not in cell["labels"]["attack"]]
    further = [cell for cell in by_name if cell["labels"]["attack"] == "fang_trimmed_mean(knows=all)"]
    for cell in further:
        cell["labels"]["attack"] = "fang_krum"
    assert picked_strengths(completed(frame(alike + further))) == set()
    assert "worst_at_defaults" not in leaderboard(frame(alike + further)).table


def test_no_claim_says_which_strengths_are_defaults(grid: Callable[..., list[Record]]) -> None:
    both = {"none": 0.9, "fang_trimmed_mean": 0.6, "fang_krum": 0.2}
    named = {"none": 0.9, "fang_trimmed_mean": 0.7}
    cells = frame(grid({"mean": both, "median": both, "krum": named}))
    cells.loc[cells["attack"] != "none", "family"] = "fang"
    board = leaderboard(cells).table.set_index("aggregator")
    assert board["worst_at_defaults"].to_dict() == {"mean": 0.6, "median": 0.6, "krum": 0.7}
    pair = cells[cells["aggregator"] != "krum"].reset_index(drop=True)
    assert "worst_at_defaults" not in leaderboard(pair).table
    for known in (cells, pair):
        numbers = claimed._numbers(known, "median")
        assert numbers["worst_accuracy"] == 0.2
        assert "worst_at_defaults" not in numbers
