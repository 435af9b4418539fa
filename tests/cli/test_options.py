"""Filters and shards on the command line: what runs, what stays planned, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from robustbench_fl.cli.main import cli
from robustbench_fl.core.errors import UsageError

GRID = ["-a", "mean,krum", "-t", "none,alie", "-f", "0.2", "--seeds", "2", "--clients", "8", "--rounds", "1"]


def said(*arguments: str) -> Result:
    """Return what a command printed; what it raises passes through."""
    return CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)


@pytest.mark.usefixtures("cells_here")
def test_two_shards_in_one_folder_make_the_whole(tmp_path: Path) -> None:
    out = ["-o", str(tmp_path / "out"), "-j", "1"]
    chosen = ["--only", "aggregator=krum", "--exclude", "attack=none seed=1"]
    first = said("sweep", *GRID, *out, *chosen, "--shard", "1/2")
    assert "sweep: 8 cells, 2 chosen, 2 to run" in first.output
    assert first.return_value == 0  # six cells are missing, but none of those asked for here
    second = said("sweep", *GRID, *out, *chosen, "--shard", "2/2")
    assert "8 cells, 1 chosen, 1 to run" in second.output
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "cells").glob("*.json")]
    points = {(r["labels"]["aggregator"], r["labels"]["attack"], r["cell"]["seed"]) for r in records}
    assert points == {("krum", "none", 0), ("krum", "alie", 0), ("krum", "alie", 1)}
    assert "8 cells, 5 to run" in said("plan", *GRID, "-o", str(tmp_path / "out")).output


def test_plan_shows_the_chosen_cells(tmp_path: Path) -> None:
    arguments = ["plan", *GRID, "-o", str(tmp_path / "out"), "--only", "seed=1", "--only", "attack=alie"]
    shown = said(*arguments)
    assert "8 cells, 6 chosen, 6 to run" in shown.output
    rows = json.loads(said(*arguments, "--format", "json").output)
    assert (
        sorted((row["attack"], row["seed"]) for row in rows)
        == [("alie", 0)] * 2 + [("alie", 1)] * 2 + [("none", 1)] * 2
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "agregator=krum"], "--only: unknown axis 'agregator'"),
        (["--exclude", "seed=7"], "--exclude: no cell of this sweep has seed 7"),
        (["--only", "malicious>0.5"], "leave none of the 8 cells"),
        (["--shard", "3/2"], "--shard must be i/n"),
        (["--shard", ""], "--shard must be i/n"),
        (["--name", ""], "The sweep's name ''"),
    ],
)
def test_bad_choices_are_refused(tmp_path: Path, flags: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        said("sweep", *GRID, *flags, "-o", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("cells_here")
def test_calibrated_times_are_shown_and_nothing_is_stored(tmp_path: Path) -> None:
    arguments = [*GRID, "-o", str(tmp_path / "out"), "-j", "1"]
    assert "Time: unknown for 8 cells; none of their kind is finished." in said("plan", *arguments).output
    shown = said("plan", *arguments, "--calibrate", "--only", "aggregator=mean")
    assert "Calibrating: two rounds of each of 2 kinds of cells." in shown.stderr
    assert "of CPU time" in shown.output
    assert "By kind:" in shown.output
    assert not (tmp_path / "out").exists()
