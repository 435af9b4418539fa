"""A folder that the release before this one wrote is read, extended and verified, under the same keys."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from robustbench_fl.core.cell import key_of
from robustbench_fl.store import Store
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.run import prepare

RELEASE = Path(__file__).with_name("release-0.1")
"""Written and packed by version 0.1 (commit 900ce93): three rules, three attacks, two seeds."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RELEASE, tmp_path / "old"))


def test_every_cell_is_read_with_its_key(folder: Path) -> None:
    records = Store.existing(folder).records()
    assert [record["status"] for record in records] == ["done"] * 18
    assert all(key_of(record["cell"]) == record["key"] for record in records)
    assert records[0]["metrics"]["accuracy"] == pytest.approx(0.1950, abs=1e-4)


def test_the_same_sweep_finds_nothing_to_run_and_one_more_rule_adds_its_cells(folder: Path) -> None:
    store = Store.existing(folder)
    held = store.read_sweep() or {}
    assert prepare(make_sweep(held, {}), store).pending == []
    grown = prepare(make_sweep(held, {"aggregator": ["mean", "median"]}), store)
    assert {planned.cell.aggregator for planned in grown.pending} == {"median"}
    assert (len(grown.plan), len(grown.pending)) == (24, 6)


def test_unpacked_and_packed_again_nothing_changes(folder: Path) -> None:
    store = Store.existing(folder)
    before = store.records()
    assert store.unpack() == 18
    assert store.pack() == 18
    assert Store.existing(folder).records() == before


def test_its_cells_come_out_again(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "robustbench_fl", "verify", str(folder), "--sample", "3", "-j", "1"],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 cells the same" in done.stderr


def test_tables_of_a_damaged_folder_are_shown_and_exit_with_1(folder: Path) -> None:
    store = Store.existing(folder)
    store.unpack()
    path = next(store.cells.glob("*.json"))
    path.write_bytes(path.read_bytes().replace(b'"accuracy":0', b'"accuracy":1', 1))
    done = subprocess.run(
        [sys.executable, "-m", "robustbench_fl", "leaderboard", str(folder)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Its cell counts as missing" in done.stderr
    assert "mean" in done.stdout


def test_a_sweep_of_nothing_but_infeasible_cells_says_so(tmp_path: Path) -> None:
    words = ["-a", "krum", "-t", "ipm", "--clients", "4", "-f", "0.5", "-o", "out", "-j", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "robustbench_fl", "sweep", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Every cell is infeasible" in done.stderr
