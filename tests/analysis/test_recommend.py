"""What is recommended from stored cells, counted by hand."""

from __future__ import annotations

import pytest

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.recommend import Setting, recommend
from robustbench_fl.core.errors import UsageError

RULES = {
    "mean": {"none": 0.9, "ipm": 0.3, "alie": 0.5},
    "median": {"none": 0.8, "ipm": 0.7, "alie": 0.6},
    "krum": {"none": 0.7, "ipm": 0.65, "alie": 0.66},
}


def asked(**changes):
    given = {"clients": 20, "malicious": 0.2, "alpha": 0.5, "knows": frozenset({"f"})}
    return Setting(**{**given, **changes})


@pytest.fixture
def cells(grid):
    made = grid(RULES, malicious=0.2) + grid(RULES, malicious=0.4)
    for record in made:
        record["facts"] = {
            **record["facts"],
            "needs": ["f"] if record["labels"]["aggregator"] == "krum" else [],
        }
        record["cell"] = {**record["cell"], "clients": 20, "participation": 1.0}
    return frame(made)


def test_rules_that_qualify_stand_best_first(cells) -> None:
    found = recommend(cells, asked())
    assert list(found.table["aggregator"]) == ["krum", "median", "mean"]
    assert list(found.table["worst_accuracy"]) == pytest.approx([0.65, 0.6, 0.3])
    assert found.table["loses_most_to"][1] == "alie (60.0 % left)"
    assert "20 % of 20 clients malicious" in found.sentences[0]
    assert "Nothing nearby" not in found.caption
    assert "Plain averaging keeps 30.0 %" in found.caption


def picked(rule: str, accuracy: float, attack: str) -> dict[str, dict[str, float]]:
    return {rule: {"none": 0.9, "ipm": accuracy + 0.1, attack: accuracy}}


def test_rules_that_met_other_members_of_a_family_are_recommended_alike(grid) -> None:
    made = [
        *grid(picked("median", 0.6, "ipm(epsilon=10)"), malicious=0.2),
        *grid(picked("krum", 0.5, "ipm(epsilon=0.1)"), malicious=0.2),
        *grid({"mean": {"none": 0.9, "ipm": 0.3}}, malicious=0.2),
        *grid({"bulyan": {"none": 0.9}}, malicious=0.2),
    ]
    for record in made:
        family = "ipm" if record["labels"]["attack"].startswith("ipm") else ""
        record["facts"] = {**record["facts"], "family": family, "needs": []}
        record["cell"] = {**record["cell"], "clients": 20, "participation": 1.0}
    found = recommend(frame(made), asked())
    assert list(found.table["aggregator"]) == ["median", "krum", "mean"]
    assert "Left out, since they lack cells: bulyan." in found.caption


def test_what_the_server_does_not_know_is_left_out(cells) -> None:
    found = recommend(cells, asked(knows=frozenset()))
    assert list(found.table["aggregator"]) == ["median", "mean"]
    assert "need to know more: krum." in found.caption


def test_costs_are_scaled_to_the_clients_and_held_to_the_budget(cells) -> None:
    before = recommend(cells, asked()).table.set_index("aggregator")["server_ms"]
    after = recommend(cells, asked(clients=40)).table.set_index("aggregator")["server_ms"]
    assert list(after / before) == pytest.approx([4.0] * 3)
    with pytest.raises(UsageError, match="3 cost more than the budget"):
        recommend(cells, asked(budget_ms=1e-9))


def test_costs_are_scaled_to_the_parameters(cells) -> None:
    before = recommend(cells, asked()).table.set_index("aggregator")["server_ms"]
    found = recommend(cells, asked(params=3000), lambda dataset, model: {"digits": 1000}.get(dataset))
    assert list(found.table.set_index("aggregator")["server_ms"] / before) == pytest.approx([3.0] * 3)
    assert "scaled from 1,000 parameters to 3,000" in found.caption
    unknown = recommend(cells, asked(params=3000))
    assert list(unknown.table.set_index("aggregator")["server_ms"] / before) == pytest.approx([1.0] * 3)
    assert "not scaled to your parameters" in unknown.caption


def test_a_far_setting_is_said_to_be_unmeasured(cells) -> None:
    assert "Nothing nearby was measured" in recommend(cells, asked(clients=500)).caption
    assert "Nothing nearby was measured" in recommend(cells, asked(alpha=0.01)).caption
    near = recommend(cells, asked(malicious=0.33)).caption
    assert "40 % of 20 clients" in near
    assert "not measured exactly there" in near


def test_a_word_that_nobody_knows_is_refused(cells) -> None:
    with pytest.raises(UsageError, match="called 'F'"):
        recommend(cells, asked(knows=frozenset({"F"})))


def test_of_several_assumed_f_the_right_one_answers_and_another_is_named(grid) -> None:
    rows = {"krum": {"none": 0.7, "ipm": 0.4}}
    wrong = grid(rows, assumed_f="2x", clients=20)
    right = grid({"krum": {"none": 0.7, "ipm": 0.6}}, assumed_f="exact", clients=20)
    found = recommend(frame(wrong + right), asked())
    assert list(found.table["worst_accuracy"]) == [0.6]
    assert "assumed as" not in found.caption
    assert "20 % of 20 clients malicious, f assumed as 2x," in recommend(frame(wrong), asked()).caption


def test_what_cannot_be_run_leaves_nobody_out_and_what_has_no_result_is_said(grid, record) -> None:
    made = grid({"median": {"ipm": 0.6}, "krum": {"ipm": 0.5}}, clients=20)
    beyond = [record(rule, "alie", status="infeasible", clients=20) for rule in ("median", "krum", "mean")]
    failed = [record("mean", "ipm", status="failed", clients=20)]
    found = recommend(frame(made + beyond + failed), asked(budget_ms=100))
    assert list(found.table["aggregator"]) == ["median", "krum"]  # without clean cells, costs under attack
    assert "Left out, since they lack cells: mean." in found.caption
    assert "Plain averaging" not in found.caption
    holes = [record(rule, "mimic", status="failed", clients=20) for rule in ("median", "krum")]
    with pytest.raises(UsageError, match="No rule has a result under every attack in the nearest block"):
        recommend(frame(made + holes), asked())
