"""A plug-in is edited between two sweeps: its results are stale, and never stand for the new code."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RULE = '''
"""A rule of one's own."""
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator, register

SHARE = 0.5

@register("my_rule")
@dataclass(frozen=True, kw_only=True)
class MyRule(Aggregator):
    """A share of the mean."""

    def aggregate(self, updates, view, state):
        return Aggregation(SHARE * updates.mean(0)), None
'''
TINY = (
    "-a", "my_rule,mean", "-t", "none,alie", "--clients", "6", "--rounds", "2", "-m", "logistic",
    "--malicious", "0.34", "--root-size", "20", "-o", "out", "-j", "1",
)  # fmt: skip


Run = Callable[..., str]


@pytest.fixture
def run(run_here: Callable[..., Any]) -> Run:
    """Run a command line in a folder, in this process, and return what it says."""

    def run(folder: Path, *arguments: object, code: int = 0) -> str:
        done = run_here(folder, *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        said: str = done.stdout + done.stderr
        return said

    return run


def accuracies(folder: Path) -> dict[tuple[str, str], str]:
    with (folder / "out" / "cells.csv").open(newline="") as file:
        return {(row["aggregator"], row["attack"]): row["accuracy"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a plug-in and a finished sweep of it."""
    place = tmp_path_factory.mktemp("edited")
    (place / "my_rule.py").write_text(RULE)
    command = [sys.executable, "-m", "robustbench_fl", "sweep", *TINY, "--plugin", "my_rule.py"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_the_story(folder: Path, run: Run) -> None:
    sweep, plan = ("sweep", *TINY, "--plugin", "my_rule.py"), ("plan", *TINY, "--plugin", "my_rule.py")
    before = accuracies(folder)
    path = folder / "my_rule.py"

    path.write_text(RULE.replace("SHARE = 0.5", "# Half of it.\nSHARE = 0.5  # yes"))
    assert "4 cells, 0 to run ->" in run(folder, *plan)

    path.write_text(RULE.replace("SHARE = 0.5", "SHARE = 0.01"))
    assert "4 cells, 2 to run, 2 stale: my_rule changed -> out" in run(folder, *plan)
    shown = run(folder, "status", "out")
    assert "stale" in shown.splitlines()[0]
    row = next(r for r in run(folder, "leaderboard", "out", "--format", "csv").splitlines() if "my_rule" in r)
    assert ",0/2,2 stale" in row
    assert not re.search(r"[0-9]\.[0-9]", row)

    said = run(folder, *sweep, "--keep-stale")
    assert "0 to run, 2 stale: my_rule changed (kept)" in said
    assert "2 are of other code, kept: my_rule changed." in " ".join(said.split())
    assert accuracies(folder) == before

    run(folder, *sweep)
    after = accuracies(folder)
    assert after["mean", "none"] == before["mean", "none"]
    assert after["my_rule", "none"] != before["my_rule", "none"]
    assert "4 cells, 0 to run ->" in run(folder, *plan)

    path.write_text(RULE)
    assert "4 cells, 0 to run ->" in run(folder, *plan)
    run(folder, *sweep)
    assert accuracies(folder) == before


def test_the_record_says_which_plug_in_made_it_and_show_names_it(folder: Path, run: Run) -> None:
    with (folder / "out" / "cells.csv").open(newline="") as file:
        key = next(row["key"] for row in csv.DictReader(file) if row["aggregator"] == "my_rule")
    shown = run(folder, "show", key, "out")
    assert "--plugin my_rule.py" in shown
    record = (folder / "out" / "cells" / f"{key}.json").read_text()
    assert '"plugins":{"my_rule.py":"' in record
    assert '"dirty":true' in record


def test_verify_without_the_plug_in_checks_what_it_can(folder: Path, run: Run) -> None:
    said = run(folder, "verify", "out", "-j", "1")
    assert "2 of 4 cells the same, 0 different" in said or "2 of 6 cells the same, 0 different" in said
    assert "of a plug-in that was not given (--plugin)" in said


def test_a_sweep_file_names_its_plug_ins_and_packing_takes_them_along(folder: Path, run: Run) -> None:
    (folder / "mine.toml").write_text(
        'plugins = ["my_rule.py"]\naggregator = "my_rule"\nattack = "none"\nmalicious = 0.34\n'
        'clients = 6\nrounds = 2\nmodel = "logistic"\nroot_size = 20\n'
    )
    assert "Plug-ins that are run: my_rule.py" in run(folder, "plan", "mine.toml")
    run(folder, "sweep", "mine.toml", "-o", "packed", "-j", "1")
    run(folder, "pack", "packed")
    assert (folder / "packed" / "plugins" / "my_rule.py").read_text() == (folder / "my_rule.py").read_text()
    assert 'plugins = [\n    "my_rule.py",\n]' in (folder / "packed" / "sweep.toml").read_text()
    refused = run(folder, "plan", "-a", "mean", "-t", "none", "--name", "x", "-o", "packed", code=2)
    assert "Give the --plugin files" in refused


@pytest.mark.parametrize("value", ["'my_rule.py'", "[1]", "['']"])
def test_a_wrong_list_of_plug_ins_is_refused(tmp_path: Path, value: str, run: Run) -> None:
    (tmp_path / "bad.toml").write_text(f"plugins = {value}\naggregator = 'mean'\nattack = 'none'\n")
    assert "plugins in bad.toml must be a list of Python files" in run(tmp_path, "plan", "bad.toml", code=2)


def test_a_forged_table_is_found(folder: Path, run: Run) -> None:
    path = folder / "out" / "leaderboard.md"
    true = path.read_text()
    path.write_text(true.replace("mean", "meen", 1))
    said = run(folder, "verify", "out", "-j", "1", "--plugin", "my_rule.py", code=1)
    assert "leaderboard.md line" in said
    assert "robustbench-fl tables out" in said
    path.write_text(true)
