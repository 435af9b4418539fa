"""`recover`, and a plan that is made anew, as a user meets them."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: F401 - where it is imported, plans are made in this very process
from click.testing import CliRunner, Result

from robustbench_fl.cli.main import cli
from robustbench_fl.core.cell import key_of
from robustbench_fl.store import Store
from robustbench_fl.store.codec import unseal
from robustbench_fl.store.lines import read_lines, write_lines

RELEASE = Path(__file__).parents[1] / "store" / "release-0.1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a packed folder of 18 cells, as this version writes it."""
    folder = Path(shutil.copytree(RELEASE, tmp_path / "s"))
    store = Store(folder)
    sweep, rows = store.read_sweep(), list(store.planned())
    assert sweep
    store.write_plan(sweep, rows)
    store.unpack()
    store.pack()
    return folder


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], standalone_mode=False)


def test_a_folder_that_is_whole_is_left_alone(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    found = call("recover", folder)
    assert (found.return_value, found.output) == (0, "Nothing is damaged.\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("harm", ["empty", "gone", "of another sweep"])
def test_a_damaged_plan_is_made_anew_with_one_line_and_the_same_answer(folder: Path, harm: str) -> None:
    before, rows = (
        call("status", folder).output,
        [(row["key"], row["cell"]) for row in Store(folder).planned()],
    )
    plan = folder / "plan.jsonl.gz"
    if harm == "gone":
        plan.unlink()
    elif harm == "empty":
        plan.write_bytes(b"")
    else:
        write_lines(plan, read_lines(plan, "plan"), "plan", "name = 'other'")
    with pytest.warns(UserWarning, match=r"It was made anew from sweep.toml and the cells") as told:
        again = call("status", folder)
    assert len(told) == 1
    assert again.output == before
    assert [(row["key"], row["cell"]) for row in Store(folder).planned()] == rows
    assert call("clean", folder, "--stale", "--yes").output == "Nothing to remove.\n"
    assert len(Store(folder).statuses()) == 18


def test_a_plan_of_earlier_versions_than_its_cells_is_told_and_made_anew(folder: Path) -> None:
    before, store = call("status", folder).output, Store(folder)
    rows, sweep = list(store.planned()), store.read_sweep()
    assert sweep

    def of_version(row: dict[str, Any], version: int) -> dict[str, Any]:
        if row["labels"]["aggregator"] != "krum":
            return row
        cell = {**row["cell"], "aggregator": [{**row["cell"]["aggregator"][0], "version": version}]}
        return {**row, "cell": cell, "key": key_of(cell)}

    store.write_plan(sweep, [of_version(row, 99) for row in rows])
    with warnings.catch_warnings(action="error"):
        assert "missing" in call("status", folder).output  # the plan is later, which is as it should be
    store.write_plan(sweep, [of_version(row, 0) for row in rows])
    with pytest.warns(
        UserWarning, match="names earlier versions of 6 cells .*recover.*makes it anew"
    ) as heard:
        assert call("status", folder).output != before
    assert len(heard) == 1
    with pytest.warns(UserWarning, match="names earlier versions of 6 cells .*It was made anew"):
        assert call("recover", folder).return_value == 0
    assert call("status", folder).output == before


def test_records_whose_checksum_fits_are_salvaged_and_the_lost_one_is_named(folder: Path) -> None:
    pack = folder / "cells.jsonl.gz"
    lines = list(read_lines(pack, "pack"))
    lost = unseal(lines[3])["key"]
    lines[3] = lines[3].replace(b'"accuracy":0', b'"accuracy":1', 1)
    write_lines(pack, lines, "pack")
    damaged = pack.read_bytes()[:-20]
    pack.write_bytes(damaged)
    refused = call("leaderboard", folder)
    assert "robustbench-fl recover" in str(refused.exception)
    assert pack.read_bytes() == damaged
    found = call("recover", folder)
    assert found.return_value == 1
    assert "17 records are whole and kept; 1 lines are not" in found.output
    assert f"1 planned cells have no result now; the same sweep runs them again.\n  {lost}  " in found.output
    assert (folder / "cells.jsonl.gz.damaged-1").read_bytes() == damaged
    assert len(Store(folder).statuses()) == 17
    assert call("recover", folder).output == "Nothing is damaged.\n"


def test_of_two_different_records_of_one_cell_neither_counts(folder: Path) -> None:
    from robustbench_fl.store.codec import seal

    pack = folder / "cells.jsonl.gz"
    lines = list(read_lines(pack, "pack"))
    record = unseal(lines[0])
    record["metrics"]["accuracy"] = 0.99
    write_lines(pack, [*lines, seal(record), lines[5]], "pack")
    store = Store(folder)
    with pytest.warns(UserWarning, match=rf"line 19 of .* holds another record of {record['key']}"):
        assert record["key"] not in store.statuses()
    assert len(store.statuses()) == 17
    assert "17 records are whole and kept; 2 lines are not" in call("recover", folder).output


@pytest.mark.parametrize("content", [b"", None, b"# half"])
def test_sweep_toml_comes_back_out_of_the_plan(folder: Path, content: bytes | None) -> None:
    path = folder / "sweep.toml"
    whole = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    for command in ("sweep", "plan"):
        refused = call(command, "-a", "mean", "-t", "none", "-o", folder)
        assert "Cannot read" in str(refused.exception) or "is not a sweep's" in str(refused.exception)
    assert "It was taken from plan.jsonl.gz" in call("recover", folder).output
    assert path.read_bytes() == whole
    assert len(Store(folder).statuses()) == 18


def test_a_folder_without_its_sweep_file_and_an_old_plan_is_said(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(RELEASE, tmp_path / "s"))
    (folder / "sweep.toml").write_bytes(b"")
    assert "Restore it" in str(call("recover", folder).exception)
