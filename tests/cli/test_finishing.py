"""The end of a sweep: tables are made anew when something changed, and only then."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch  # noqa: F401 - where it is imported, tables are made in this very process

from robustbench_fl.cli.finishing import finish
from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import Costs, Metrics
from robustbench_fl.core.sealed import read_sealed, write_sealed
from robustbench_fl.store import Store
from robustbench_fl.sweep.config import make_sweep, to_toml
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.run import plan_row
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.recording import record

SWEEP = make_sweep({}, {"aggregator": "mean,median", "attack": "none,alie"})
PLAN = expand(SWEEP)
KEYS = [planned.cell.key for planned in PLAN]


def write(folder: Path, planned: Planned, accuracy: float = 0.5, status: str = "done") -> None:
    """Store a made-up record."""
    known = {"accuracy": accuracy, "accuracy_std": 0.0, "loss": 1.0, "class_accuracy": [accuracy]}
    metrics = Metrics(**{**dict.fromkeys(Metrics.model_fields), **known, "worst_class_accuracy": accuracy})
    results = {"metrics": metrics, "costs": Costs(**dict.fromkeys(Costs.model_fields, 1.0))}
    parts = results if status == "done" else {"reason": "on purpose"}
    Store(folder).write(record(planned, Environment(data_dir=folder), status=status, **parts))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a finished sweep of four cells, with its tables."""
    Store(tmp_path).write_plan(to_toml(SWEEP), map(plan_row, PLAN))
    for planned in PLAN:
        write(tmp_path, planned)
    assert finish(Store(tmp_path), KEYS) == 0
    return tmp_path


def made_anew(folder: Path) -> bool:
    """Finish once more, and return whether the tables were made for it."""
    (folder / ".tables.json").chmod(0o600)  # a new file has other rights
    finish(Store(folder), KEYS)
    return (folder / ".tables.json").stat().st_mode & 0o777 != 0o600


def test_an_unchanged_folder_keeps_its_tables_and_says_the_same(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / ".tables.json").unlink()
    finish(Store(folder), KEYS)
    before = capsys.readouterr().out
    Store(folder).write_plan(to_toml(SWEEP), map(plan_row, PLAN))  # as every run does
    assert not made_anew(folder)
    assert capsys.readouterr().out == before
    assert "median" in before


def test_a_table_that_is_gone_is_made_again(folder: Path) -> None:
    board = (folder / "leaderboard.md").read_bytes()
    (folder / "leaderboard.md").unlink()
    assert made_anew(folder)
    assert (folder / "leaderboard.md").read_bytes() == board


def test_another_record_or_plan_makes_other_tables(folder: Path) -> None:
    board = (folder / "leaderboard.md").read_bytes()
    write(folder, PLAN[1], accuracy=0.25)
    assert made_anew(folder)
    assert (folder / "leaderboard.md").read_bytes() != board
    more = make_sweep({}, {"aggregator": "mean,median", "attack": "none,alie", "seeds": 2})
    Store(folder).write_plan(to_toml(more), map(plan_row, expand(more)))
    assert made_anew(folder)


@pytest.mark.parametrize("stamp", [b"", b"[]", b'{"state": 1}', None, b"[" * 100_000])
def test_a_damaged_note_of_what_was_made_is_told_and_does_no_harm(
    folder: Path, stamp: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(Store(folder), KEYS)
    before = capsys.readouterr().out
    raw = (folder / ".tables.json").read_bytes()
    (folder / ".tables.json").write_bytes(raw.replace(b"0.", b"1.") if stamp is None else stamp)
    with pytest.warns(UserWarning, match=r"\.tables\.json .*\. The tables are made anew"):
        assert made_anew(folder)
    assert capsys.readouterr().out == before


def test_a_note_that_says_nothing_makes_new_tables(folder: Path) -> None:
    write_sealed(folder / ".tables.json", "tables", b"[]")
    assert made_anew(folder)


def test_tables_of_other_code_are_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robustbench_fl.core.provenance.digest_of_sources", lambda *packages: "other")
    assert made_anew(folder)


def test_no_path_of_this_machine_is_kept(folder: Path) -> None:
    text = read_sealed(folder / ".tables.json", "tables").decode()
    assert str(folder) not in text
    assert "cells.csv" in json.loads(text)["files"]


def test_the_exit_code_is_about_the_cells_that_were_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "cells" / f"{KEYS[0]}.json").unlink()
    write(folder, PLAN[1], status="failed")
    assert finish(Store(folder), KEYS[2:]) == 0
    assert capsys.readouterr().err == ""
    assert finish(Store(folder), KEYS[:1]) == 1
    assert finish(Store(folder), KEYS[1:]) == 1
    said = capsys.readouterr().err
    assert f"failed: {KEYS[1]}  mean under alie: on purpose" in said
    assert "1 of 3 cells failed." in said
