"""``suite`` from end to end: a tier run with its pilot, its tables, and a plug-in rule placed in it."""

import json
from pathlib import Path

import numpy as np
import pytest

from robustbench_fl.analysis.frame import frame
from robustbench_fl.cli.suite_run import slug
from robustbench_fl.store import Store

SUITE = """
name = "tiny"
version = 1
[tier.cpu]
members = ["ipm", "ipm(epsilon=10)"]
picks = 1
model = "logistic"
aggregator = ["mean", "median", "oracle_mean"]
attack = ["none", "ipm"]
malicious = 0.34
clients = 6
rounds = 2
seeds = 2
[[tier.cpu.block]]
name = "one"
main = true
[[tier.cpu.block]]
name = "half"
strengths = "one"
participation = 0.5
[[tier.cpu.block]]
name = "shut"
strengths = "defaults"
joins = "half"
open = false
participation = 0.5
attack = ["sign_flip"]
[[tier.cpu.block]]
name = "wrong-f"
strengths = "one"
assumed_f = "0.5x"
aggregator = ["mean", "median"]
[[tier.cpu.block]]
name = "fit"
strengths = "defaults"
tune = true
open = false
aggregator = ["mean"]
"""
ONE_BLOCK = SUITE[: SUITE.index('[[tier.cpu.block]]\nname = "half"')]
RULE = '''
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator, register


@register("half_mean", paper="Me 2026", year=2026, cost="nd")
@dataclass(frozen=True, kw_only=True)
class HalfMean(Aggregator):
    """Half of the mean."""

    def aggregate(self, updates, view, state):
        return Aggregation(updates.mean(0) / 2), None
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory, run_here):
    """Give a folder with a suite and its results."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "tiny.toml").write_text(SUITE)
    (folder / "half_mean.py").write_text(RULE)
    part = run_here(folder, "suite", "run", "tiny.toml", "-j", "1", "--block", "one", "--shard", "1/2")
    assert part.returncode == 0, part.stderr
    assert "Nothing is picked yet: 8 of the pilot's 16 cells have no result" in part.stderr
    done = run_here(folder, "suite", "run", "tiny.toml", "-j", "1")
    assert done.returncode == 0, done.stderr
    return folder, done


def records(folder: Path) -> list[dict]:
    return Store.existing(folder).records()


def test_a_tier_is_run_with_the_strengths_that_its_pilot_picked(place):
    folder, done = place
    assert "one-pilot: 16 cells, 8 to run" in done.stderr
    one, half = (records(folder / "results" / "tiny-cpu" / name) for name in ("one", "half"))
    picks = json.loads((folder / "results/tiny-cpu/one/picks.json").read_text())
    assert {len(pick["members"]) for pick in picks["picks"]} == {1}
    for pick in picks["picks"]:
        for cells in (one, half):
            met = {r["labels"]["attack"] for r in cells if r["labels"]["aggregator"] == pick["aggregator"]}
            assert met == {"none", "ipm", pick["members"][0]["attack"]}
    assert {r["provenance"]["suite"]["block"] for r in half} == {"half"}
    assert {r["provenance"]["suite"]["name"] for r in one} == {"tiny"}
    for packed in ("one", "one/pilot", "half", "shut", "fit", "fit/tuning"):
        assert (folder / "results/tiny-cpu" / packed / "cells.jsonl.gz").is_file()
    assert "tiny, tier cpu, digest " in frame(one)["suite"].iloc[0]


def test_tables_stand_block_by_block(place, run_here):
    folder, done = place
    assert "block one: Track A" in done.stdout
    assert "Suite: tiny, tier cpu, digest " in done.stdout
    text = run_here(folder, "suite", "table", "tiny.toml", "--format", "csv").stdout.splitlines()
    assert text[0].startswith("block,track,rank,")
    assert list(dict.fromkeys(line.split(",")[0] for line in text[1:])) == ["one", "half", "wrong-f", "fit"]
    assert any(
        ",sign_flip," in line for line in text if line.startswith("half,")
    )  # of the block that joins it
    assert run_here(folder, "suite", "table", "tiny.toml", "--track", "D").returncode == 2


def test_a_rule_of_ones_own_is_placed_among_the_stored_ones(place, run_here):
    folder, _ = place
    words = ("suite", "run", "tiny.toml", "--only-rule", "half_mean", "--plugin", "half_mean.py", "-j", "1")
    done = run_here(folder, *words)
    assert done.returncode == 0, done.stderr
    assert "one: place " in done.stdout
    assert " of 3 in track A (not ranked): " in done.stdout
    assert "half_mean: 12 cells of its own" in done.stdout
    assert "The other rules' 38 cells are those of results/tiny-cpu" in done.stdout
    own = folder / "results" / "tiny-cpu-half_mean"
    assert {path.name for path in own.iterdir()} == {"one", "half", "picks"}
    assert {record["labels"]["aggregator"] for record in records(own / "one")} == {"half_mean"}
    again = run_here(folder, *words)
    assert "12 cells, 0 to run" not in again.stderr
    assert again.stderr.count(", 0 to run") == 3  # the pilot, once for both blocks, and these


def test_a_rule_of_the_suite_is_no_further_rule(place, run_here):
    folder, _ = place
    done = run_here(folder, "suite", "run", "tiny.toml", "--only-rule", "median")
    assert done.returncode == 2
    assert "median is a rule of tiny itself" in done.stderr


def test_a_block_is_tuned_and_its_rules_stand_twice(place, run_here):
    folder, _ = place
    fit = folder / "results/tiny-cpu/fit"
    found = json.loads((fit / "tuned.json").read_text())
    assert (found["sweep"], found["seeds"]) == ("tiny-cpu/fit", [1000, 1001, 1002, 1003])
    tried = frame(records(fit / "tuning"))
    means = tried.groupby("lr")["validation_accuracy"].mean()
    (pick,) = found["picks"]
    assert (pick["aggregator"], pick["picked_lr"]) == ("mean", means.idxmax())
    assert len(means) == 3
    assert pick["picked_lr"] != pick["lr"]
    cells = frame(records(fit))
    assert {*zip(cells["aggregator"], cells["run_lr"].fillna(cells["lr"]), strict=True)} == {
        ("mean", pick["lr"]), ("tuned > mean", pick["picked_lr"]),
    }  # fmt: skip
    words = ("pilot", "-a", "mean", "-t", "none,ipm", "-f", "0.34", "--clients", "6", "--rounds", "2",
             "--model", "logistic", "--seeds", "2", "--name", "fit", "-j", "1", "--tune")  # fmt: skip
    alone = run_here(folder, *words)
    assert alone.returncode == 0, alone.stderr
    assert json.loads((folder / "results/fit/tuned.json").read_text())["picks"] == found["picks"]


def test_own_data_is_marked(place, run_here):
    folder, _ = place
    done = run_here(
        folder, "suite", "run", "tiny.toml", "-d", "synthetic", "--block", "shut", "--block", "half",
        "-j", "1", "--pilot-only", "--only", "aggregator=mean",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (first, *_) = records(folder / "results/tiny-cpu-on-synthetic/one/pilot")
    assert first["provenance"]["suite"]["name"] == "tiny on synthetic"


def test_a_tier_on_ones_own_data_with_a_rule_placed_in_it(tmp_path, run_here):
    (tmp_path / "tiny.toml").write_text(ONE_BLOCK)
    (tmp_path / "half_mean.py").write_text(RULE)
    own = tmp_path / "data"
    own.mkdir()
    draw = np.random.default_rng(0)
    labels = np.arange(80) % 4
    images = (draw.integers(0, 60, (80, 5, 5)) + 45 * labels[:, None, None]).astype(np.uint8)
    np.savez(own / "mine.npz", x_train=images, y_train=labels, x_test=images[:20], y_test=labels[:20])
    words = ("suite", "run", "tiny.toml", "-d", "npz(path=mine.npz)", "--data-dir", "data", "-j", "1")
    done = run_here(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "results" / "tiny-cpu-on-npz-path-mine.npz"
    one = records(folder / "one")
    assert {record["provenance"]["suite"]["name"] for record in one} == {"tiny on npz(path=mine.npz)"}
    assert {record["labels"]["dataset"].split("(")[0] for record in one} == {"npz"}
    assert json.loads((folder / "one" / "picks.json").read_text())["blocks"][0]["dataset"].startswith("npz(")
    assert "Suite: tiny on npz(path=mine.npz), tier cpu, digest" in " ".join(done.stdout.split())
    placed = run_here(tmp_path, *words, "--only-rule", "half_mean", "--plugin", "half_mean.py")
    assert placed.returncode == 0, placed.stderr
    assert "one: place " in placed.stdout
    assert f"The other rules' {len(one)} cells are those of results/{folder.name}" in placed.stdout
    again = run_here(tmp_path, *words)
    assert again.stderr.count(", 0 to run") == 2


def test_what_is_run_is_said_without_methods(run_here, tmp_path):
    said = run_here(tmp_path, "suite", "show", "rbfl-1", "--tier", "smoke")
    assert said.returncode == 0, said.stderr
    assert "a0.1-m0.3; counts in the headline. " in said.stdout
    assert "Rules: mean, oracle_mean, root_only, local_only, median" in said.stdout
    listed = run_here(tmp_path, "suite", "list", "--format", "json").stdout
    assert [row["tier"] for row in json.loads(listed)] == ["smoke", "cpu", "gpu"]
    assert run_here(tmp_path, "suite", "table", "rbfl-1", "--tier", "gpu").returncode == 2


def test_a_folders_name_from_a_rule():
    assert slug("nnm > my_rule(x=0.1)") == "nnm-my_rule-x-0.1"
