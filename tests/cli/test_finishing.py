"""The end of a sweep: tables are made anew when something changed, and only then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch  # noqa: F401 - where it is imported, nothing but cells is run in processes of their own
from click.testing import CliRunner, Result

from robustbench_fl.cli.main import cli

GRID = ["-a", "mean,trimmed_mean", "-t", "none", "-f", "0.2", "--clients", "8", "--rounds", "1", "-j", "1"]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Run the sweep into one folder."""

    def sweep(*more: str) -> Result:
        arguments = ["sweep", *GRID, "-o", str(tmp_path), *more]
        return CliRunner().invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)

    return sweep


def test_tables_are_made_when_something_changed_and_only_then(
    tmp_path: Path, run: Callable[..., Result]
) -> None:
    first = run()
    stamp = tmp_path / ".tables.json"
    made = [stamp.stat().st_mtime_ns]

    def is_new() -> bool:
        made.append(stamp.stat().st_mtime_ns)
        return made[-1] != made[-2]

    board = (tmp_path / "leaderboard.md").read_bytes()
    again = run()
    assert not is_new()
    # The same is said, but for what there was to run.
    assert again.stdout.splitlines()[1:] == first.stdout.splitlines()[1:]
    assert again.return_value == first.return_value == 0

    (tmp_path / "leaderboard.md").unlink()
    run()
    assert is_new()
    assert (tmp_path / "leaderboard.md").read_bytes() == board

    cell = next((tmp_path / "cells").glob("*.json"))
    cell.unlink()
    run()
    assert is_new()
    run("--seeds", "2")
    assert is_new()
    stamp.write_text("[" * 100_000)
    run()
    assert is_new()


def test_tables_of_other_code_are_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Callable[..., Result]
) -> None:
    run()
    before = (tmp_path / ".tables.json").stat().st_mtime_ns
    monkeypatch.setattr("robustbench_fl.sources.digest_of_sources", lambda *packages: "other")
    run()
    assert (tmp_path / ".tables.json").stat().st_mtime_ns != before


def test_no_path_of_this_machine_is_kept(tmp_path: Path, run: Callable[..., Result]) -> None:
    run()
    text = (tmp_path / ".tables.json").read_text()
    assert str(tmp_path) not in text
    assert "cells.csv" in json.loads(text)["files"]
