"""A folder that the release before this one wrote is read, extended and verified, under the same keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from robustbench_fl.core.cell import key_of
from robustbench_fl.core.record import SCHEMA
from robustbench_fl.store import Store
from robustbench_fl.store.ownership import require_ours
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.run import prepare

RELEASE = Path(__file__).with_name("release-0.1")
"""Written and packed by version 0.1 (commit 900ce93): three rules, three attacks, two seeds."""


FROZEN = Path(__file__).with_name("frozen")
"""Two cells of each schema, as they were written; those of schema 4 also in the sealed form."""
ACCURACY = {
    "schema-1": {"00d2db929e66487a": 0.6618384401114207, "01bf62eb88e3d919": 0.7275766016713092},
    "schema-2": {"001366516f1f52ec": 0.7504178272980502, "002715ad2d9c9c66": 0.905849582172702},
    "schema-3": {"002237e1cbdf874b": 0.10807799442896937, "006ab63ae55644ed": 0.5298050139275766},
    "schema-4": {"002d9e616483cedc": 0.8824512534818941, "000389d454009baf": 0.909192200557103},
    "schema-5": {"00703709061df3c3": 0.8222841225626741, "014871edfc882ea2": 0.5905292479108635},
}
ACCURACY["schema-4-sealed"] = ACCURACY["schema-4"]


def test_every_schema_has_a_frozen_folder() -> None:
    assert {f"schema-{number}" for number in range(1, SCHEMA + 1)} <= set(ACCURACY)


@pytest.mark.parametrize("name", ACCURACY)
def test_every_schema_is_read_bit_for_bit_unpacked_packed_and_planned_anew(name: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FROZEN / name, tmp_path / name))
    store = Store.existing(folder)
    before, sweep, rows = store.records(), store.read_sweep(), list(store.planned())
    assert {record["key"]: record["metrics"]["accuracy"] for record in before} == ACCURACY[name]
    assert all(key_of(record["cell"]) == record["key"] for record in before)
    require_ours(folder)
    assert store.unpack() == 2
    store.write_plan(sweep, rows)
    assert store.pack() == 2
    again = Store.existing(folder)
    assert (again.records(), again.read_sweep(), list(again.planned())) == (before, sweep, rows)


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


def test_its_cells_come_out_again(folder: Path, run_here) -> None:
    done = run_here(folder, "verify", str(folder), "--sample", "3", "-j", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 cells the same" in done.stderr


def test_tables_of_a_damaged_folder_are_shown_and_exit_with_1(folder: Path, run_here) -> None:
    store = Store.existing(folder)
    store.unpack()
    path = next(store.cells.glob("*.json"))
    path.write_bytes(path.read_bytes().replace(b'"accuracy":0', b'"accuracy":1', 1))
    done = run_here(folder, "leaderboard", str(folder))
    assert done.returncode == 1
    assert "Its cell counts as missing" in done.stderr
    assert "mean" in done.stdout


def test_a_sweep_of_nothing_but_infeasible_cells_says_so(tmp_path: Path, run_here) -> None:
    words = ["-a", "krum", "-t", "ipm", "--clients", "4", "-f", "0.5", "-o", "out", "-j", "1"]
    done = run_here(tmp_path, "sweep", *words)
    assert done.returncode == 1
    assert "Every cell is infeasible" in done.stderr
