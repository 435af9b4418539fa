"""What a pilot runs, and which cells a sweep with picks is left with."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from robustbench_fl.api import registry
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.picks import Picks, write_picks
from robustbench_fl.core.tuned import TunedPick, TunedRules
from robustbench_fl.sweep.config import Sweep, make_sweep, read_sweep, to_toml
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.picking import picks_of
from robustbench_fl.sweep.piloted import code_of
from robustbench_fl.sweep.plan import plan_of
from robustbench_fl.sweep.strengths import narrowed, trial

SEEDS = [1000, 1001, 1002, 1003]
IPM = ["ipm(epsilon=0.1)", "ipm", "ipm(epsilon=2)", "ipm(epsilon=10)", "ipm(epsilon=100)"]


def asked(**values: object) -> Sweep:
    return make_sweep({}, {"aggregator": "mean,krum", "attack": "none,ipm,mimic", **values})


def tried(**values: object) -> Sweep:
    return trial(asked(**values), SEEDS, "")[0]


def test_a_pilot_tries_every_member_of_the_families_on_its_own_seeds() -> None:
    sweep, named = trial(asked(aggregator="mean,oracle_mean", malicious=[0, 0.3], seeds=2), SEEDS, "")
    (grid,) = sweep.grids
    assert (grid.attack, grid.aggregator) == (IPM, ["mean"])
    assert (grid.malicious, grid.seeds, sweep.name) == ([0.3], SEEDS, "sweep-pilot")
    assert named == {"none", "ipm", "mimic"}


def test_members_that_the_sweep_names_are_tried_too_and_backdoors_are_not() -> None:
    (grid,) = tried(attack="none,ipm(epsilon=7),dba,min_max").grids
    assert grid.attack[:6] == [*IPM, "ipm(epsilon=7)"]
    assert {text.split("(")[0] for text in grid.attack[6:]} == {"min_max", "min_sum"}


def test_what_cannot_be_picked_is_refused() -> None:
    with pytest.raises(UsageError, match=r"has the pilot seeds 1002 among its own"):
        tried(seeds="0,1002")
    for values in ({"attack": "none,mimic,dba"}, {"malicious": 0}, {"aggregator": "oracle_mean"}):
        with pytest.raises(UsageError, match="nothing to pick"):
            tried(**values)


def picks(accuracies: Mapping[tuple[str, str], float], **values: object) -> Picks:
    """Return picks for given accuracies of rule and attack; others are 0.9."""
    cells = expand(tried(**values))
    found = {
        one.cell.key: accuracies.get((one.cell.aggregator, one.cell.attack), 0.9)
        for one in cells
        if not one.infeasible
    }
    return picks_of(cells, found, sweep="sweep", seeds=SEEDS, named=frozenset({"ipm"}))


def file_with(folder: Path, found: Picks, **values: object) -> Sweep:
    """Return the sweep of a file that names `found`."""
    write_picks(folder / "found" / "picks.json", found)
    (folder / "demo.toml").write_text('pilot = "found/picks.json"\n')
    return make_sweep(read_sweep(folder / "demo.toml"), {"aggregator": "mean,krum,oracle_mean", **values})


WORST = {("mean", "ipm(epsilon=100)"): 0.1, ("mean", "ipm(epsilon=10)"): 0.1, ("krum", "ipm"): 0.2}


def test_a_sweep_with_picks_holds_exactly_the_picked_members_and_defaults(tmp_path: Path) -> None:
    values = {"attack": "none,ipm(epsilon=2),mimic", "malicious": [0, 0.3], "assumed_f": ["exact", "2x"]}
    sweep = file_with(tmp_path, picks(WORST, **values), **values, seeds=2)
    plan = plan_of(sweep, None, "demo.toml", "")
    met: dict[tuple[str, float, str | None], list[str]] = {}
    for one in plan.cells:
        if one.cell.seed == 0:
            place = (one.cell.aggregator, one.cell.malicious, one.cell.assumed_f)
            met.setdefault(place, []).append(one.cell.attack)
    assert met == {
        ("mean", 0.0, None): ["none"],
        ("krum", 0.0, "exact"): ["none"],
        ("krum", 0.0, "2x"): ["none"],
        ("oracle_mean", 0.0, None): ["none"],
        ("mean", 0.3, None): ["none", "ipm", "ipm(epsilon=10)", "ipm(epsilon=100)", "mimic"],
        ("krum", 0.3, "exact"): ["none", "ipm", "mimic"],
        ("krum", 0.3, "2x"): ["none", "ipm", "mimic"],
        ("oracle_mean", 0.3, None): ["none", "ipm", "mimic"],
    }


def test_cells_have_their_ordinary_keys_and_the_folder_needs_no_picks(tmp_path: Path) -> None:
    values = {"attack": "none,ipm,mimic"}
    plan = plan_of(file_with(tmp_path, picks(WORST), **values), None, "demo.toml", "")
    everything = expand(
        make_sweep({}, {"aggregator": "mean,krum,oracle_mean", "attack": [*IPM, "none", "mimic"]})
    )
    assert {one.cell.key for one in plan.cells} < {one.cell.key for one in everything}
    stored = to_toml(plan.sweep)
    assert "pilot" not in stored
    assert [one.cell.key for one in expand(make_sweep(stored, {}))] == [one.cell.key for one in plan.cells]
    again = plan_of(file_with(tmp_path, picks(WORST), **values), stored, "demo.toml", "")
    assert [one.cell.key for one in again.cells] == [one.cell.key for one in plan.cells]


def test_rules_that_cannot_run_stay_in_the_plan_with_the_reason(tmp_path: Path) -> None:
    values = {"assumed_f": "none"}
    sweep = file_with(tmp_path, picks(WORST, **values), **values, attack="none,ipm", aggregator="krum")
    cells = plan_of(sweep, None, "demo.toml", "").cells
    assert [one.cell.attack for one in cells] == ["none", "ipm"]
    assert all(one.infeasible for one in cells)


PLUGIN = """
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator, register

@register("of_a_pilot")
@dataclass(frozen=True, kw_only=True)
class OfAPilot(Aggregator):
    def aggregate(self, updates, view, state):
        return Aggregation(updates.mean(0)), None
"""


@pytest.mark.usefixtures("own_registry")
def test_picks_and_tuned_rules_of_a_plugins_other_code_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    registry.load_plugin(tmp_path / "mine.py")
    axes = {"aggregator": "mean,of_a_pilot", "attack": "ipm"}
    code = code_of(trial(asked(**axes), SEEDS, "")[0])
    assert code == {"of_a_pilot": registry.entry("aggregators", "of_a_pilot").code}
    found = picks({}, **axes)
    plan_of(file_with(tmp_path, found.model_copy(update={"code": code}), **axes), None, "", "")
    plan_of(file_with(tmp_path, found, aggregator="mean", attack="ipm"), None, "", "")
    for other in ({}, {"of_a_pilot": "0" * 16}):
        sweep = file_with(tmp_path, found.model_copy(update={"code": other}), **axes)
        with pytest.raises(UsageError, match="made with other code of of_a_pilot: run robustbench-fl pilot"):
            plan_of(sweep, None, "", "")
    best = {"picked_lr": 0.05, "accuracy": 0.5, "untuned_accuracy": 0.5, "gain": 0.0, "error": 0.0}
    chosen = [
        TunedPick(dataset="digits", aggregator=rule, lr=0.05, picked=rule, **best, edge=[], tried=1)
        for rule in ("mean", "of_a_pilot")
    ]
    head = found.model_dump(exclude={"blocks", "picks", "code"})
    sweep = make_sweep({}, axes).model_copy(update={"tuned_rules": tmp_path / "tuned.json"})
    write_picks(tmp_path / "tuned.json", TunedRules(**head, code=code, picks=chosen, log=[]))
    plan_of(sweep, None, "", "")
    write_picks(tmp_path / "tuned.json", TunedRules(**head, code={}, picks=chosen, log=[]))
    with pytest.raises(UsageError, match=r"made with other code of of_a_pilot: run .* --tune again"):
        plan_of(sweep, None, "", "")


def test_picks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    found = picks(WORST)
    with pytest.raises(UsageError, match="has no pick of the family ipm for median on digits"):
        narrowed(file_with(tmp_path, found, attack="ipm", aggregator="median"))
    with pytest.raises(UsageError, match="has no pick of the family ipm for mean"):
        plan_of(file_with(tmp_path, found, attack="ipm", lr=0.1), None, "", "")
    with pytest.raises(UsageError, match="has no pick of the family alie"):
        plan_of(file_with(tmp_path, found, attack="alie"), None, "", "")
    with pytest.raises(UsageError, match=r"seeds of the pilot in .* 1003 among its own"):
        plan_of(file_with(tmp_path, found, attack="ipm", seeds="5,1003"), None, "", "")
    (pick, *_) = found.picks
    foreign = pick.members[0].model_copy(update={"attack": "alie"})
    wrong = found.model_copy(update={"picks": [pick.model_copy(update={"members": [foreign]})]})
    with pytest.raises(UsageError, match="'alie' is not of the family 'ipm'"):
        plan_of(file_with(tmp_path, wrong, attack="ipm"), None, "", "")


@pytest.mark.parametrize("value", ["1", "['a']", '""'])
def test_the_key_pilot_is_a_path_in_a_sweep_file(tmp_path: Path, value: str) -> None:
    (tmp_path / "demo.toml").write_text(f"pilot = {value}\n")
    with pytest.raises(UsageError, match=r"pilot in demo\.toml must be the path"):
        read_sweep(tmp_path / "demo.toml")


def test_a_folder_names_no_picks_to_be_read() -> None:
    with pytest.raises(UsageError, match="only a sweep file that the user names"):
        make_sweep({"pilot": "/etc/passwd"}, {"aggregator": "mean", "attack": "ipm"})
