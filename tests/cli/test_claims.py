"""Claims as a user makes and checks them, and what becomes of those that somebody doctored."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.analysis import claimed
from robustbench_fl.analysis.frame import frame
from robustbench_fl.cli.claims import EXIT_UNCONFIRMED, _verdict
from robustbench_fl.core.claim import Claim, ClaimError, Row
from robustbench_fl.core.claim_file import LARGEST_FILE, digest_of, parsed
from robustbench_fl.store import Store
from robustbench_fl.sweep.claimed import against_plan
from robustbench_fl.sweep.config import make_sweep, to_toml
from robustbench_fl.sweep.expand import canonical, expand
from robustbench_fl.sweep.run import plan_row
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute

Table = dict[str, Any]
RULE = '''
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator, register

@register("halved")
@dataclass(frozen=True, kw_only=True)
class Halved(Aggregator):
    """Half of the mean."""

    def aggregate(self, updates, view, state):
        """Return it."""
        return Aggregation(updates.mean(0) / 2), None
'''
ACCURACY, STATUS = Row._fields.index("accuracy"), Row._fields.index("status")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, run_here: Any) -> Path:
    """Return a folder with the claims of a sweep of eight small cells."""
    place = tmp_path_factory.mktemp("claims")
    small = {"clients": 10, "rounds": 2, "seeds": 2, "name": "s"}
    sweep = canonical(make_sweep({}, {"aggregator": "mean,median", "attack": "none,ipm(epsilon=3)", **small}))
    planned = expand(sweep)
    store = Store(place / "results" / "s")
    store.write_plan(to_toml(sweep), map(plan_row, planned))
    for cell in planned:
        store.write(execute(cell, Environment(data_dir=place)))
    done = run_here(place, "claim", "results/s")
    assert done.returncode == 0, done.stderr
    assert "median: results/claims/s/median.json" in done.stdout
    return place


@pytest.fixture
def table(made: Path) -> Table:
    """Return the claim of the median as plain data."""
    found: Table = json.loads((made / "results/claims/s/median.json").read_text())
    return found


@pytest.fixture
def check(made: Path, run_here: Any) -> Callable[..., Any]:
    """Check a claim that is given as plain data or as the name of a file."""

    def checked(claim: Table | str, *flags: object) -> Any:
        if isinstance(claim, str):
            return run_here(made, "check-claim", claim, *flags)
        (made / "doctored.json").write_text(json.dumps(claim))
        return run_here(made, "check-claim", "doctored.json", *flags)

    return checked


def resealed(table: Table, *, numbers: bool = False) -> Table:
    """Return a claim with digests that fit, and on request numbers that fit its rows."""
    table = copy.deepcopy(table)
    if numbers:
        claim = Claim.model_validate(table)
        cells = frame(claim.records())
        table["reported"] = claimed._reported(cells, claim.rule, claim.cell_rows, frozenset({0}))
    table["cells"] = digest_of(table["rows"])
    del table["digest"]
    return table | {"digest": digest_of(table)}


def faults(table: Table) -> str:
    """Return what is wrong with a claim before any cell is run."""
    claim = parsed(json.dumps(table).encode())
    return " ".join(claimed.wrong_numbers(claim) or against_plan(claim).faults)


def attacked(table: Table) -> int:
    """Return the place of a row of the median under the attack."""
    forms = [form["rule"] for form in table["forms"]]
    return next(
        place
        for place, row in enumerate(table["rows"])
        if forms[row[Row._fields.index("form")]] == "median"
        and table["attacks"][row[Row._fields.index("attack")]]["attack"] != "none"
    )


def test_an_honest_claim_is_confirmed_bit_for_bit(check, table):
    done = check("results/claims/s/median.json", "--sample", 3, "--seed", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("confirmed") == done.stdout.count("bit for bit") == 3
    assert "Confirmed: 3 sampled cells confirmed, 0 different" in done.stderr
    assert len(table["rows"]) == 8
    text = json.dumps(table)
    assert os.sep + "tmp" not in text
    assert resealed(table, numbers=True) == table


def test_elsewhere_figures_may_differ_by_a_thousandth(table):
    claim = parsed(json.dumps(table).encode())
    row = claim.cell_rows[attacked(table)]
    for versions, off, allowed, verdict in (
        ({}, 0.0, "bit for bit", "confirmed"),
        ({}, 1e-12, "bit for bit", "differs"),
        ({"torch": "9"}, 5e-4, "0.001", "confirmed"),
        ({"torch": "9"}, 2e-3, "0.001", "differs"),
    ):
        again = claim.record(row)
        again["provenance"] = {**again["provenance"], "versions": again["provenance"]["versions"] | versions}
        again["metrics"] = again["metrics"] | {"accuracy": row.accuracy + off}
        found = _verdict(claim, row, again)
        assert (found["allowed"], found["verdict"]) == (allowed, verdict)
    again["provenance"] = {**claim.record(row)["provenance"], "data": "0" * 16}
    assert _verdict(claim, row, again)["what"] == "provenance.data"


def test_without_a_sample_nothing_is_confirmed(check):
    done = check("results/claims/s/median.json", "--sample", 0)
    assert done.returncode == EXIT_UNCONFIRMED
    assert "Not confirmed" in done.stderr


def test_a_plugin_is_needed_to_run_its_cells(tmp_path, run_here):
    (tmp_path / "halved.py").write_text(RULE)
    flags = ("--clients", 10, "--rounds", 2, "--plugin", "halved.py", "-j", 1)
    done = run_here(tmp_path, "sweep", "-a", "halved", "-t", "none", *flags)
    assert done.returncode == 0, done.stderr
    done = run_here(tmp_path, "claim", "results/sweep", "-o", ".", "--plugin", "halved.py")
    assert done.returncode == 0, done.stderr
    done = run_here(tmp_path, "check-claim", "halved.json")
    assert done.returncode == EXIT_UNCONFIRMED
    assert "Unknown aggregator 'halved'" in done.stderr
    (tmp_path / "other.py").write_text(RULE.replace("/ 2", "/ 3"))
    for plugin, code, said in (("halved.py", 0, "confirmed"), ("other.py", 4, "cannot run: other code")):
        done = run_here(tmp_path, "check-claim", "halved.json", "--plugin", plugin)
        assert done.returncode == code, done.stderr
        assert said in done.stdout


def test_data_that_is_not_here_is_said(check, table, monkeypatch):
    def nothing(*given: object, **more: object) -> None:
        from robustbench_fl.core.errors import MissingDataError

        raise MissingDataError("no such file")

    monkeypatch.setattr("robustbench_fl.sweep.plan.prepare_data", nothing)
    done = check(table, "--sample", 1)
    assert done.returncode == EXIT_UNCONFIRMED
    assert "cannot run: no data" in done.stdout


def test_a_changed_accuracy_is_found_by_the_digest_the_numbers_or_the_simulation(check, table):
    table["rows"][attacked(table)][ACCURACY] += 0.1
    for claim, said in (
        (table, "the digest of the cells does not fit"),
        (resealed(table), "worst_accuracy is reported as"),
        (resealed(table, numbers=True), "Refused: "),
    ):
        done = check(claim, "--sample", 8)
        assert done.returncode == 1, done.stderr
        assert said in done.stderr
    assert check(resealed(table, numbers=True), "--sample", 0).returncode == EXIT_UNCONFIRMED


def test_a_bad_cell_that_is_called_infeasible_is_run_again(check, table):
    row = table["rows"][attacked(table)]
    row[STATUS] = "infeasible"
    row[STATUS + 1 :] = [None] * len(row[STATUS + 1 :])
    done = check(resealed(table, numbers=True), "--sample", 1)
    assert done.returncode == 1
    assert "status" in done.stdout


def test_a_dropped_cell_is_missing_from_the_plan(table):
    del table["rows"][attacked(table)]
    table = resealed(table, numbers=True)
    assert "1 cells of its plan are missing, such as median against ipm(epsilon=3)" in faults(table)


def test_a_cell_of_another_sweep_is_too_many(table):
    table["sweeps"][0]["table"]["seeds"] = [0]
    assert "is not in the plan of the claim's sweeps" in faults(resealed(table))


def test_a_swapped_rule_is_refused(table):
    swapped = json.loads(json.dumps(table).replace('"median"', '"krum"'))
    with pytest.raises(ClaimError, match="the settings are not those its key"):
        faults(resealed(swapped))
    table["rule"] = "krum"  # the name alone
    table["sweeps"][0]["table"]["aggregator"] = ["mean", "krum"]
    form = next(form for form in table["forms"] if form["rule"] == "median")
    form["rule"] = "krum"
    assert "is not in the plan" in faults(resealed(table, numbers=True))
    form["aggregator"] = "krum"
    with pytest.raises(ClaimError, match="it is no planned cell"):
        faults(resealed(table))


def test_facts_of_a_method_are_its_own(table):
    place = next(place for place, one in enumerate(table["attacks"]) if one["attack"] != "none")
    table["attacks"][place]["adaptive"] = True
    assert "it says other adaptive than its methods do" in faults(resealed(table, numbers=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": [f"0:{10**5}", f"{10**6}:{10**6 + 99999}"], "rounds": [1, 2, 3]}, "more than any claim"),
        ({"seeds": ["0:1000000000"]}, "at most"),
        ({"plugins": ["/etc/passwd.py"]}, "names files"),
        ({"nonsense": 1}, "nonsense"),
        ({"aggregator": ["mean", "krum"]}, "are of krum, mean, not of its rule"),
    ],
)
def test_a_sweep_may_not_be_endless_or_name_files(table, change, said):
    table["sweeps"][0]["table"] |= change
    with pytest.raises(ClaimError, match=said):
        faults(resealed(table))


WRONG_VALUES = ["0.5", True, -0.1, 1.5, 10**400, [0.5], None, {}]


@pytest.mark.parametrize("value", WRONG_VALUES, ids=map(str, WRONG_VALUES))
def test_malformed_numbers_are_refused(table, value):
    table["rows"][attacked(table)][ACCURACY] = value
    with pytest.raises(ClaimError, match="it is no"):
        parsed(json.dumps(resealed(table)).encode())


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no JSON"),
        (b"\xff\x00", "no JSON"),
        (b"[" * 10**6, "nested too deeply"),
        (b'{"a":' * 10**6, "nested too deeply"),
        (b"9" * 10**5, "no JSON"),
        (b'{"rule": NaN}', "NaN is no number"),
        (b'{"rule": 1e999}', "too large for a number"),
        (b'{"rule": "a", "rule": "b"}', "twice in one object"),
        (b"[]", "no claim of schema 1"),
        (b"{}", "no claim of schema 1"),
    ],
)
def test_hostile_text_is_refused_with_a_sentence(raw, said):
    with pytest.raises(ClaimError, match=said):
        parsed(raw)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"further": 1},
        {"columns": ["key"]},
        {"rows": []},
        {"rows": [["0" * 16]]},
        {"settings": []},
        {"suite": {"name": "rbfl-1"}},
    ],
)
def test_other_shapes_are_refused(table, change):
    with pytest.raises(ClaimError, match="no claim of schema 1"):
        parsed(json.dumps(resealed(table | change)).encode())


def test_settings_out_of_range_are_refused(table):
    for name, value in (("malicious", 1e308), ("clients", 10**18), ("clients", "ten"), ("rounds", None)):
        changed = copy.deepcopy(table)
        changed["settings"][0]["identity"][name] = value
        with pytest.raises(ClaimError, match="no claim of schema 1"):
            parsed(json.dumps(resealed(changed)).encode())


def test_files_that_are_none_are_refused(made, run_here):
    os.mkfifo(made / "fifo.json")
    with open(made / "large.json", "wb") as file:
        file.truncate(LARGEST_FILE + 1)
    for name in ("fifo.json", "large.json", "absent.json", "."):
        done = run_here(made, "check-claim", name)
        assert done.returncode == 2, done.stderr
        assert "Cannot read the claim" in done.stderr


def test_a_claim_holds_every_cell(made, run_here):
    store = Store(made / "results" / "s")
    (first, *_) = [row["key"] for row in store.planned() if row["labels"]["aggregator"] == "median"]
    kept = (store.cells / f"{first}.json").read_bytes()
    store.drop([first])
    done = run_here(made, "claim", "results/s", "--rule", "median")
    assert done.returncode == 1
    assert f"1 of 8 cells of median and mean have no result: the first, {first}, is missing" in done.stderr
    (store.cells / f"{first}.json").write_bytes(kept)
    done = run_here(made, "claim", "results/s", "--rule", "medan")
    assert done.returncode == 2
    assert "Did you mean median or mean?" in done.stderr


def test_a_rule_that_tuning_left_as_it_was_has_no_claim_of_its_own():
    def record(rule: str, *names: str) -> Table:
        rows = [{"aggregator": name, "lr": 0.1} for name in names]
        return {"labels": {"aggregator": rule}, "cell": {"lr": 0.1}, "stands_for": rows}

    records = [
        record("mean", "mean", "tuned > mean"),
        record("krum", "krum"),
        record("krum(neighbours=3)", "tuned > krum"),
    ]
    assert claimed.rules_of([claimed.Part("s", {}, records)]) == ["mean", "krum", "tuned > krum"]
