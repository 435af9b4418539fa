"""Picks by hand: the worst member, and those that the pilot cannot tell from it."""

import hashlib

import pytest

from robustbench_fl.core.cell import Planned
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.picking import picks_of, worst_members

SEEDS = [1000, 1001, 1002, 1003]


def test_members_within_two_standard_errors_are_kept_by_hand() -> None:
    # Differences to "worst": near 2, 0, 2, 0 (mean 1, s = 2/√3, error 1/√3 = 0.577: 1 ≤ 1.155);
    # clear 1, 1, 1, 2 (mean 1.25, s = 0.5, error 0.25: 1.25 > 0.5); same: no difference at all.
    found = worst_members(
        {
            "clear": [1.0, 2.0, 3.0, 5.0],
            "near": [2.0, 1.0, 4.0, 3.0],
            "worst": [0.0, 1.0, 2.0, 3.0],
            "same": [0.0, 1.0, 2.0, 3.0],
        }
    )
    assert [name for name, *_ in found] == ["worst", "same", "near"]
    assert found[0][1:] == found[1][1:] == (1.5, 0.0, 0.0)
    assert found[2][1:] == pytest.approx((2.5, 1.0, 3**-0.5))


def test_the_bound_itself_is_within() -> None:
    # Differences 0, 1: mean 0.5, s = 1/√2, error 0.5; twice that is 1.
    assert [name for name, *_ in worst_members({"a": [0.0, 0.0], "b": [0.0, 1.0]})] == ["a", "b"]
    # Differences 1, 1: error 0.
    assert [name for name, *_ in worst_members({"a": [0.0, 0.0], "b": [1.0, 1.0]})] == ["a"]
    assert worst_members({}) == []


def planned(**values: object) -> list[Planned]:
    return expand(make_sweep({}, {"aggregator": "mean", "seeds": SEEDS, **values}))


def test_picks_are_by_family_rule_and_block() -> None:
    cells = planned(
        aggregator="mean,krum", attack="ipm,ipm(epsilon=2),ipm(epsilon=100),zero", malicious=[0.2, 0.3]
    )
    scores = {"ipm": 0.8, "ipm(epsilon=2)": 0.5, "ipm(epsilon=100)": 0.7, "zero": 0.6}
    accuracies = {
        one.cell.key: scores[one.cell.attack]
        - 0.45 * (one.cell.aggregator == "krum" and one.cell.attack == "ipm(epsilon=100)")
        for one in cells
        if not (one.cell.malicious == 0.3 and one.cell.aggregator == "krum" and one.cell.seed == 1003)
    }
    found = picks_of(cells, accuracies, sweep="demo", seeds=SEEDS, named=frozenset({"ipm", "zero"}))
    assert [block.malicious for block in found.blocks] == [0.2, 0.3]
    assert found.cells == hashlib.sha256("\n".join(sorted(accuracies)).encode()).hexdigest()[:12]
    picks = {(pick.block, pick.aggregator, pick.family): pick for pick in found.picks}
    assert len(picks) == 8
    mean = picks[0, "mean", "ipm"]
    assert [member.attack for member in mean.members] == ["ipm(epsilon=2)"]
    assert (mean.assumed_f, mean.tried, mean.default) == (None, 3, "ipm")
    assert (mean.members[0].edge, mean.default_accuracy) == (False, pytest.approx(0.8))
    krum = picks[0, "krum", "ipm"]
    assert (krum.assumed_f, krum.members[0].attack, krum.members[0].edge) == (
        "exact", "ipm(epsilon=100)", True,
    )  # fmt: skip
    # On one seed krum has nothing at 0.3: nothing is picked there.
    assert (picks[1, "krum", "ipm"].members, picks[1, "krum", "ipm"].tried) == ([], 0)


def test_the_default_is_the_worst_of_those_that_the_sweep_names() -> None:
    cells = planned(attack="min_max,min_sum,min_max(perturbation=unit)")
    scores = {"min_max": 0.6, "min_sum": 0.5, "min_max(perturbation=unit)": 0.2}
    accuracies = {one.cell.key: scores[one.cell.attack] for one in cells}
    for named, default in (({"min_max", "min_sum"}, "min_sum"), ({"min_max"}, "min_max"), (set(), None)):
        (pick,) = picks_of(cells, accuracies, sweep="x", seeds=SEEDS, named=frozenset(named)).picks
        assert pick.default == default
