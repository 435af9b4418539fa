"""Tuning by hand: candidates, the best on the validation split, and the rows that tuned rules stand for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.api.tuning import at_edge, candidates
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.picks import write_picks
from robustbench_fl.core.tuned import TunedRules, read_tuned
from robustbench_fl.sweep.config import Sweep, make_sweep, read_sweep, to_toml, united
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.plan import plan_of
from robustbench_fl.sweep.rows import united_row
from robustbench_fl.sweep.run import plan_row
from robustbench_fl.sweep.strengths import trial
from robustbench_fl.sweep.tuned_picking import tuned_rules
from robustbench_fl.sweep.tuning import tuning_trial

SEEDS = [1000, 1001, 1002, 1003]
LRS = [0.05, 0.025, 0.1]


def asked(**values: object) -> Sweep:
    table = {"aggregator": "mean,foolsgold,oracle_mean", "attack": "none,ipm,min_max,min_sum", **values}
    return make_sweep({}, table)


def test_a_rule_is_varied_stage_by_stage_and_what_was_chosen_stays() -> None:
    assert candidates("foolsgold") == ("foolsgold", "foolsgold(kappa=0.5)", "foolsgold(kappa=2)")
    assert candidates("krum") == ("krum",)
    assert candidates("clip > foolsgold(kappa=3)") == (
        "clip > foolsgold(kappa=3)", "clip(c=0.5) > foolsgold(kappa=3)", "clip(c=8) > foolsgold(kappa=3)",
    )  # fmt: skip
    assert len(candidates("clip > foolsgold")) == 9
    assert at_edge("clip > foolsgold", "clip(c=8) > foolsgold(kappa=0.5)") == ["c", "kappa"]
    assert at_edge("centered_clipping", "centered_clipping(tau=1)") == []
    assert at_edge("bucketing > mean", "bucketing(s=3) > mean") == []  # two values have no inside


def test_every_candidate_meets_every_attack_on_pilot_seeds() -> None:
    sweep, tried = tuning_trial(asked(malicious=[0, 0.3], seeds=2, attack="none,ipm,optimal"), SEEDS, "")
    (grid,) = sweep.grids
    assert grid.aggregator == ["mean", "foolsgold", "foolsgold(kappa=0.5)", "foolsgold(kappa=2)"]
    assert (grid.attack, grid.malicious, grid.seeds, grid.lr) == (["ipm"], [0.3], SEEDS, LRS)
    found = tried["digits", "foolsgold", 0.05]
    assert list(found.lrs.items()) == [(0.05, False), (0.025, True), (0.1, True)]
    assert found.forms == {
        "foolsgold": [], "foolsgold(kappa=0.5)": ["kappa"], "foolsgold(kappa=2)": ["kappa"]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seeds": "0,1002"}, "pilot seeds 1002 among its own"),
        ({"attack": "none"}, "nothing to tune"),
        ({"aggregator": "oracle_mean"}, "nothing to tune"),
        ({"lr": [0.05, 0.1]}, "one lr in each grid"),
        ({"validation": 0.0}, "validation split"),
    ],
)
def test_what_cannot_be_tuned_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        tuning_trial(asked(**values), SEEDS, "")


def found_for(scores: Mapping[tuple[str, float], Mapping[str, float]], **values: object) -> TunedRules:
    """Return the tuned rules for given accuracies by rule and lr, and by attack; others are 0.5."""
    sweep, tried = tuning_trial(asked(**values), SEEDS, "")
    cells = expand(sweep)
    accuracies = {}
    for one in cells:
        of_form = scores.get((one.cell.aggregator, one.cell.settings.lr), {})
        accuracies[one.cell.key] = of_form.get(one.cell.attack, 0.5) + 0.01 * (one.cell.seed - 1000)
    return tuned_rules(cells, accuracies, tried, sweep="demo", seeds=SEEDS)


# min_max and min_sum are one family: foolsgold(kappa=2) has (0.9 + (0.3 + 0.5) / 2) / 2 = 0.65, where the
# mean over attacks is 0.567; foolsgold at 0.1 has (0.4 + (0.8 + 0.7) / 2) / 2 = 0.575, over attacks 0.633.
SCORES = {
    ("foolsgold(kappa=2)", 0.05): {"ipm": 0.9, "min_max": 0.3, "min_sum": 0.5},
    ("foolsgold", 0.1): {"ipm": 0.4, "min_max": 0.8, "min_sum": 0.7},
    ("mean", 0.025): {"ipm": 0.6, "min_max": 0.6, "min_sum": 0.6},
}


def test_the_best_in_the_mean_over_families_is_picked_by_hand() -> None:
    found = found_for(SCORES)
    mean, foolsgold = found.picks
    assert (mean.aggregator, mean.picked, mean.picked_lr, mean.edge) == ("mean", "mean", 0.025, ["lr"])
    assert (foolsgold.picked, foolsgold.picked_lr) == ("foolsgold(kappa=2)", 0.05)
    # The seeds add 0, 0.01, 0.02, 0.03: 0.015 in the mean, the same everywhere.
    assert foolsgold.accuracy == pytest.approx(0.665)
    assert foolsgold.untuned_accuracy == pytest.approx(0.515)
    assert foolsgold.gain == pytest.approx(0.15)
    assert foolsgold.error == pytest.approx(0, abs=1e-12)
    assert (foolsgold.edge, foolsgold.tried) == (["kappa"], 9)
    log = {(one.aggregator, one.lr): one.accuracy for one in found.log}
    assert len(log) == 12
    assert log["foolsgold", 0.1] == pytest.approx(0.59)


def test_nothing_better_leaves_the_rule_as_it_is_and_a_hole_leaves_a_candidate_out() -> None:
    assert [(p.picked, p.picked_lr, p.gain) for p in found_for({}).picks] == [
        ("mean", 0.05, 0.0), ("foolsgold", 0.05, 0.0)
    ]  # fmt: skip
    sweep, tried = tuning_trial(asked(), SEEDS, "")
    cells = expand(sweep)
    best = [one for one in cells if one.cell.aggregator == "mean" and one.cell.settings.lr == 0.1]
    accuracies = {one.cell.key: 0.5 + 0.3 * (one in best) for one in cells if one is not best[0]}
    (mean, _) = tuned_rules(cells, accuracies, tried, sweep="demo", seeds=SEEDS).picks
    assert (mean.picked_lr, mean.tried) == (0.05, 2)


def file_with(folder: Path, found: TunedRules, **values: object) -> Sweep:
    """Return the sweep of a file that names `found`."""
    write_picks(folder / "found" / "tuned.json", found)
    (folder / "demo.toml").write_text('tuned = "found/tuned.json"\n')
    return make_sweep(
        read_sweep(folder / "demo.toml"), {"aggregator": "mean,foolsgold,oracle_mean", **values}
    )


def test_a_sweep_with_tuned_rules_has_both_rows_and_ordinary_keys(tmp_path: Path) -> None:
    # mean stays as it is: its cells stand for both rows.
    scores = {place: value for place, value in SCORES.items() if place[0] != "mean"}
    sweep = file_with(tmp_path, found_for(scores), attack="none,ipm")
    assert read_tuned(tmp_path / "found" / "tuned.json") == found_for(scores)
    plan = plan_of(sweep, None, "demo.toml", "")
    rows = {(one.cell.aggregator, one.cell.attack): one.rows for one in plan.cells}
    assert rows == {
        (form, attack): stands_for
        for attack in ("none", "ipm")
        for form, stands_for in {
            "mean": (("mean", 0.05), ("tuned > mean", 0.05)),
            "foolsgold": (("foolsgold", 0.05),),
            "foolsgold(kappa=2)": (("tuned > foolsgold", 0.05),),
            "oracle_mean": (("oracle_mean", 0.05),),
        }.items()
    }
    ordinary = expand(make_sweep({}, {"aggregator": "foolsgold(kappa=2)", "attack": "ipm"}))
    assert ordinary[0].cell.key in {one.cell.key for one in plan.cells}
    stored = to_toml(plan.sweep)
    assert [row["picked"] for row in stored["tuned"]] == ["mean", "foolsgold(kappa=2)"]
    again = expand(make_sweep(stored, {}))
    assert [plan_row(one) for one in again] == [plan_row(one) for one in plan.cells]
    assert plan_of(sweep, stored, "", "").cells == plan.cells


def test_a_learning_rate_of_its_own_is_no_other_setting(tmp_path: Path) -> None:
    sweep = file_with(tmp_path, found_for(SCORES), attack="ipm", aggregator="mean")
    before = expand(asked(aggregator="mean", attack="ipm"))
    whole = plan_of(sweep, to_toml(asked(aggregator="mean", attack="ipm")), "", "")
    assert [(one.cell.settings.lr, one.rows) for one in whole.cells] == [
        (0.05, (("mean", 0.05),)), (0.025, (("tuned > mean", 0.05),)),
    ]  # fmt: skip
    assert before[0].cell.key == whole.cells[0].cell.key
    other = file_with(tmp_path, found_for({}), attack="ipm", aggregator="mean")
    with pytest.raises(UsageError, match=r"the tuned mean is mean at lr = 0\.025; now it is mean at 0\.05"):
        united(whole.sweep, plan_of(other, None, "", "").sweep)


def test_strengths_are_picked_for_tuned_rules_of_their_own(tmp_path: Path) -> None:
    sweep, _ = trial(file_with(tmp_path, found_for(SCORES), attack="ipm"), [1000, 2000, 2001, 2002], "")
    rules = {rule for one in expand(sweep) for rule, _ in one.rows}
    assert rules == {"mean", "tuned > mean", "foolsgold", "tuned > foolsgold"}


def test_the_same_cell_in_two_plans_stands_for_both() -> None:
    row: dict[str, Any] = {"key": "a", "labels": {"aggregator": "mean"}, "cell": {"lr": 0.05}}
    own, tuned = {"aggregator": "mean", "lr": 0.05}, {"aggregator": "tuned > mean", "lr": 0.1}
    assert united_row(row, {**row}) == row
    assert united_row(row, {**row, "stands_for": [own, tuned]})["stands_for"] == [own, tuned]
    assert united_row({**row, "stands_for": [tuned]}, row)["stands_for"] == [tuned, own]


def test_tuned_rules_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    found = found_for(SCORES)
    with pytest.raises(UsageError, match=r"no tuned median for digits at lr = 0\.05"):
        plan_of(file_with(tmp_path, found, attack="ipm", aggregator="median"), None, "", "")
    with pytest.raises(UsageError, match=r"no tuned mean for digits at lr = 0\.2"):
        plan_of(file_with(tmp_path, found, attack="ipm", lr=0.2), None, "", "")
    with pytest.raises(UsageError, match="1003 among its own"):
        plan_of(file_with(tmp_path, found, attack="ipm", seeds="5,1003"), None, "", "")
    wrong = found.model_copy(update={"picks": [found.picks[0].model_copy(update={"picked": "krum"})]})
    with pytest.raises(UsageError, match="'krum' must know other things than 'mean'"):
        plan_of(file_with(tmp_path, wrong, attack="ipm", aggregator="mean"), None, "", "")
    with pytest.raises(UsageError, match="What 'tuned > mean' stands for on digits"):
        expand(make_sweep({}, {"aggregator": "tuned > mean", "attack": "ipm"}))
    with pytest.raises(UsageError, match=r"tuned in the flags must be the path"):
        make_sweep({"tuned": [{"dataset": "digits"}]}, {"aggregator": "mean", "attack": "ipm"})
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(UsageError, match="holds no tuned rules"):
        read_tuned(tmp_path / "bad.json")
