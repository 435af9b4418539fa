"""Claims of a suite's tier: all its blocks in one file, held against the frozen suite."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from robustbench_fl.cli.main import cli
from robustbench_fl.core.claim_file import digest_of, parsed
from robustbench_fl.core.errors import UsageError
from robustbench_fl.store import Store
from robustbench_fl.sweep.claimed_suite import suite_faults
from robustbench_fl.sweep.config import to_toml
from robustbench_fl.sweep.expand import canonical, expand
from robustbench_fl.sweep.run import plan_row
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute
from robustbench_fl.sweep.suites import read_suite

SUITE = """
name = "tiny"
version = 1

[tier.t]
dataset = "digits"
model = "mlp(hidden=[4])"
aggregator = ["mean", "median"]
attack = ["none", "ipm(epsilon=3)"]
malicious = 0.3
seeds = 2
clients = 10
rounds = 1

[[tier.t.block]]
name = "first"
main = true
strengths = "defaults"

[[tier.t.block]]
name = "second"
strengths = "defaults"
partition = "iid"
"""
Table = dict[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, run_here: Any) -> Path:
    """Return a folder with a small suite, its results, and those of a further rule, both claimed."""
    place = tmp_path_factory.mktemp("suite")
    (place / "sweeps" / "suites").mkdir(parents=True)
    (place / "sweeps" / "suites" / "tiny.toml").write_text(SUITE)
    suite = read_suite(str(place / "sweeps" / "suites" / "tiny.toml"))
    tier = suite.tier("t")
    for overrides, folder in (({}, "tiny-t"), ({"aggregator": ["krum"]}, "tiny-t-krum")):
        for block in tier.blocks:
            sweep = canonical(block.sweep(overrides))
            store = Store(place / "results" / folder / block.name)
            store.write_plan(to_toml(sweep), map(plan_row, expand(sweep)))
            environment = Environment(data_dir=place, suite=tuple(suite.mark(tier, block).items()))
            for cell in expand(sweep):
                store.write(execute(cell, environment))
        done = run_here(place, "claim", f"results/{folder}")
        assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def claims(place: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Table]:
    monkeypatch.chdir(place)
    folder = place / "results" / "claims" / "tiny-t"
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def faults(table: Table) -> str:
    """Return what is said of a claim that fits its digests."""
    table = table | {"cells": digest_of(table["rows"])}
    del table["digest"]
    return " ".join(suite_faults(parsed(json.dumps(table | {"digest": digest_of(table)}).encode())))


def without(table: Table, drop: Any, sweeps: list[Table]) -> Table:
    """Return a claim without some rows, with other sweeps."""
    keep = [row for row in table["rows"] if not drop(row)]
    return copy.deepcopy(table) | {"rows": keep, "sweeps": sweeps}


def test_a_claim_holds_all_blocks_and_the_main_ones_count(claims, place, run_here):
    assert set(claims) == {"mean", "median", "krum"}
    for table in claims.values():
        assert faults(table) == ""
        named = {(part["name"], part["main"]) for part in table["sweeps"]}
        assert named == {("first", True), ("second", False)}
        assert table["suite"]["name"] == "tiny"
        assert len(table["reported"]["blocks"]) == 2
        own = [block["numbers"] for block in table["reported"]["blocks"]]
        assert table["reported"]["whole"]["worst_accuracy"] == own[0]["worst_accuracy"]
    done = run_here(place, "check-claim", "results/claims/tiny-t/krum.json", "--sample", 2)
    assert done.returncode == 0, done.stderr


def test_a_rule_of_the_suite_has_its_very_cells(claims):
    median = claims["median"]
    short = without(median, lambda row: row[1] == 1, median["sweeps"][:1])
    assert faults(short) == "In the block second median has other cells than in the suite."
    swapped = copy.deepcopy(median)
    for part in swapped["sweeps"]:
        part["main"] = not part["main"]
    assert "The block first is not" not in faults(median)
    assert faults(swapped).startswith("The block first is one of the headline. The block second is not one")
    fewer = copy.deepcopy(median)
    fewer["sweeps"][0]["table"]["seeds"] = [0]
    assert "In the block first median has other cells" in faults(fewer)


def test_a_further_rule_has_what_the_suite_names(claims):
    krum = claims["krum"]
    fewer = copy.deepcopy(krum)
    for part in fewer["sweeps"]:
        if part["table"]["aggregator"] == ["krum"]:
            part["table"]["attack"] = ["none"]
    assert faults(fewer).count("2 cells that the suite names are missing") == 2
    for change, said in (({"attack": ["none", "ipm(epsilon=3)", "alie"]}, "is none of the suite"),
                         ({"attack": ["none", "ipm(epsilon=3)", "ipm"]}, ""),
                         ({"rounds": 2}, "4 cells that the suite names are missing")):  # fmt: skip
        other = copy.deepcopy(krum)
        for part in other["sweeps"]:
            if part["table"]["aggregator"] == ["krum"]:
                part["table"] |= change
        assert said in faults(other)
        assert bool(said) == bool(faults(other))


def test_another_suite_is_refused(claims):
    for change, said in (
        ({"digest": "0" * 12}, "here that suite is version 1"),
        ({"version": 2}, "here that suite is version 1"),
        ({"tier": "cpu"}, "has no tier 'cpu'"),
    ):
        table = copy.deepcopy(claims["median"])
        table["suite"] |= change
        assert said in faults(table)
    table = copy.deepcopy(claims["median"])
    table["suite"]["name"] = "sweeps/suites/tiny.toml"  # a file of the claimant's own
    with pytest.raises(UsageError, match="There is no suite 'sweeps/suites/tiny"):
        faults(table)
    table = copy.deepcopy(claims["median"])
    table["sweeps"][1]["name"] = "third"
    assert "has no block 'third'" in faults(table)


def test_a_further_rule_without_all_blocks_is_not_claimed(place, tmp_path, monkeypatch):
    shutil.copytree(place / "sweeps", tmp_path / "sweeps")
    shutil.copytree(place / "results", tmp_path / "results")
    shutil.rmtree(tmp_path / "results" / "tiny-t-krum" / "second")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["claim", "results/tiny-t-krum", "-o", "new"])
    assert "In the block second 4 cells that the suite names are missing." in str(done.exception)
    assert "suite run tiny --tier t --only-rule krum" in str(done.exception)
    assert not Path("new").exists()
