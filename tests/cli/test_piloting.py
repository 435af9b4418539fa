"""``pilot`` from end to end: strengths tried, picks stored, and the sweep that runs them."""

import json
from pathlib import Path

import pandas as pd
import pytest

from robustbench_fl.store import Store

SWEEP = """
aggregator = ["mean", "median", "oracle_mean"]
attack = ["none", "ipm"]
malicious = 0.34
clients = 6
rounds = 2
model = "logistic"
seeds = 2
pilot = "out/picks.json"
"""


@pytest.fixture
def call(run_here):
    """Run a command line in a folder, in this process."""
    return run_here


def test_a_pilot_and_the_sweep_after_it(tmp_path: Path, call) -> None:
    (tmp_path / "demo.toml").write_text(SWEEP)
    early = call(tmp_path, "plan", "demo.toml", "-o", "out")
    assert early.returncode == 2
    assert "robustbench-fl pilot" in early.stderr
    part = call(tmp_path, "pilot", "demo.toml", "-o", "out", "-j", "1", "--only", "aggregator=mean")
    assert part.returncode == 0, part.stderr
    assert "40 cells, 20 chosen, 20 to run" in part.stderr
    assert "Nothing is picked yet: 20 of the pilot's 40 cells have no result" in part.stderr
    assert part.stdout == ""
    done = call(tmp_path, "pilot", "demo.toml", "-o", "out", "-j", "1", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert "40 cells, 20 to run -> out/pilot" in done.stderr
    rows = json.loads(done.stdout)
    assert [(row["aggregator"], row["family"], row["tried"]) for row in rows] == [
        ("mean", "ipm", 5), ("median", "ipm", 5),
    ]  # fmt: skip
    means = pilot_means(tmp_path / "out" / "pilot")
    for row in rows:
        assert row["accuracy"] == pytest.approx(means[row["aggregator"]].min())
        assert row["picked"][0] == means[row["aggregator"]].idxmin()
        assert row["default_accuracy"] == pytest.approx(means[row["aggregator"], "ipm"])
        assert row["accuracy"] < row["default_accuracy"]
    swept = call(tmp_path, "sweep", "demo.toml", "-o", "out", "-j", "1")
    assert swept.returncode == 0, swept.stderr
    table = pd.read_csv(tmp_path / "out" / "cells.csv")
    for row in rows:
        met = set(table.loc[table["aggregator"] == row["aggregator"], "attack"])
        assert met == {"none", "ipm", *row["picked"]}
    assert set(table.loc[table["aggregator"] == "oracle_mean", "attack"]) == {"none", "ipm"}
    assert set(table.loc[table["attack"] != "none", "family"]) == {"ipm"}
    assert set(table["seed"]) == {0, 1}
    assert "missing" not in pd.read_csv(tmp_path / "out" / "leaderboard.csv").to_string()
    again = call(tmp_path, "sweep", "demo.toml", "-o", "out", "-j", "1")
    assert ", 0 to run" in again.stdout


def pilot_means(folder: Path) -> pd.Series:
    rows = [
        {**record["labels"], "accuracy": record["metrics"]["accuracy"]}
        for record in Store.existing(folder).records()
    ]
    means: pd.Series = pd.DataFrame(rows).groupby(["aggregator", "attack"], sort=False)["accuracy"].mean()
    return means


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ("1000:1003", "names 3 seeds; a pilot takes at least 4"),
        ("7", "seeds 0, 1 among its own"),
    ],
)
def test_seeds_that_will_not_do_are_refused(tmp_path: Path, seeds: str, said: str, call) -> None:
    (tmp_path / "demo.toml").write_text(SWEEP)
    refused = call(tmp_path, "pilot", "demo.toml", "--pilot-seeds", seeds)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_tuned_rules_and_the_sweep_after_them(tmp_path: Path, call) -> None:
    names = {"aggregator": 'aggregator = ["foolsgold", "oracle_mean"]', "tuned": 'tuned = "out/tuned.json"'}
    lines = [line for line in SWEEP.splitlines() if not line.startswith(("aggregator", "pilot", "rounds"))]
    (tmp_path / "demo.toml").write_text("\n".join(["rounds = 1", *lines, *names.values()]))
    made = call(tmp_path, "pilot", "demo.toml", "-o", "out", "-j", "1", "--tune", "--format", "json")
    assert made.returncode == 0, made.stderr
    assert "36 cells, 36 to run -> out/tuning" in made.stderr
    (row,) = json.loads(made.stdout)
    records = [r for r in Store.existing(tmp_path / "out" / "tuning").records() if r["status"] == "done"]
    cells = pd.DataFrame(
        {
            "form": [(r["labels"]["aggregator"], r["cell"]["lr"]) for r in records],
            "accuracy": [r["metrics"]["validation_accuracy"] for r in records],
        }
    )
    means = cells.groupby("form", sort=False)["accuracy"].mean()
    assert (row["picked"], row["picked_lr"]) == means.idxmax()
    assert row["accuracy"] == pytest.approx(means.max())
    assert row["gain"] == pytest.approx(means.max() - means["foolsgold", 0.05])
    assert row["gain"] > 0
    swept = call(tmp_path, "sweep", "demo.toml", "-o", "out", "-j", "1")
    assert swept.returncode == 0, swept.stderr
    assert f"{row['picked']}, lr {row['picked_lr']:g}" in swept.stdout
    table = pd.read_csv(tmp_path / "out" / "cells.csv")
    assert set(table["aggregator"]) == {"foolsgold", "tuned > foolsgold", "oracle_mean"}
    assert set(table["lr"]) == {0.05}
    tuned = table[table["aggregator"] == "tuned > foolsgold"]
    assert set(zip(tuned["run_aggregator"], tuned["run_lr"], strict=True)) == {means.idxmax()}
    assert set(tuned["seed"]) == {0, 1}
    board = pd.read_csv(tmp_path / "out" / "leaderboard.csv").set_index("aggregator")
    assert set(board["coverage"]) == {"4/4"}
    again = call(tmp_path, "sweep", "demo.toml", "-o", "out", "-j", "1")
    assert ", 0 to run" in again.stdout
