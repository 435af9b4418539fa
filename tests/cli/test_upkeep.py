"""Commands that look after folders, as a user calls them."""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from robustbench_fl.cli import status as status_module
from robustbench_fl.cli.main import main
from robustbench_fl.core.record import CellRecord, Metrics
from robustbench_fl.notebook import run_cell
from robustbench_fl.store import Store
from robustbench_fl.store.claims import Claims
from robustbench_fl.store.codec import seal, unseal
from robustbench_fl.sweep.config import make_sweep, to_toml
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.run import plan_row
from robustbench_fl.sweep.runner.observers import log_path

METRICS = dict.fromkeys(Metrics.model_fields) | {
    "accuracy": 0.5, "accuracy_std": 0.0, "class_accuracy": [0.5], "worst_class_accuracy": 0.5,
}  # fmt: skip

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command line in this process, as the installed script does."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["robustbench-fl", *map(str, arguments)])
        monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterwards
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a sweep of four cells: done, failed, oom, missing."""
    sweep = make_sweep({}, {"name": "s", "aggregator": "mean,median", "attack": "alie", "seeds": 2})
    rows = [plan_row(planned) for planned in expand(sweep)]
    store = Store(tmp_path / "s")
    store.write_plan(to_toml(sweep), rows)
    store.write(CellRecord(**rows[0], status="done", metrics=METRICS))
    store.write(CellRecord(**rows[1], status="failed", reason="ArithmeticError: on\npurpose"))
    store.write(CellRecord(**rows[2], status="oom", reason="no memory"))
    return tmp_path / "s"


def keys(folder: Path) -> list[str]:
    return [row["key"] for row in Store(folder).planned()]


def test_failures_are_listed_one_a_line_with_their_logs(call: Call, folder: Path) -> None:
    failed, oom = keys(folder)[1:3]
    log_path(folder, failed).parent.mkdir()
    log_path(folder, failed).write_text("said")
    code, out, _ = call("failures", folder)
    assert code == 0
    lines = out.splitlines()
    assert lines[2].split()[:2] == [failed, "failed"]
    assert "ArithmeticError: on purpose" in lines[2]
    assert lines[2].endswith(str(log_path(folder, failed)))
    assert lines[3].split()[:2] == [oom, "oom"]
    assert len(lines) == 4
    rows = json.loads(call("failures", folder, "--format", "json")[1])
    assert [(row["key"], row["log"]) for row in rows] == [
        (failed, str(log_path(folder, failed))), (oom, None),
    ]  # fmt: skip
    Store(folder).drop([failed, oom])
    assert call("failures", folder)[1] == "No cell failed.\n"


def test_clean_failed_makes_them_missing(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = keys(folder)[1]
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    code, out, _ = call("clean", folder, "--failed")
    assert code == 130
    assert f"cell {failed} is failed" in out
    assert len(Store(folder).statuses()) == 3
    code, out, _ = call("clean", folder, "--failed", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "Removed: 1 record, 0 files.")
    assert [record["status"] for record in Store(folder).records()] == ["done", "missing", "oom", "missing"]
    assert call("clean", folder, "--failed")[1] == "Nothing to remove.\n"


def test_clean_stale_takes_what_nothing_reads_and_never_a_whole_cell(call: Call, folder: Path) -> None:
    sweep = make_sweep({}, {"name": "s", "aggregator": "krum", "attack": "alie", "seeds": 2})
    unplanned, failed = map(plan_row, expand(sweep))
    Store(folder).write(CellRecord(**unplanned, status="done", metrics=METRICS))
    Store(folder).pack()
    Store(folder).write(CellRecord(**failed, status="failed"))
    here = keys(folder)[0]
    rubbish = [
        folder / ".x.json.abc.tmp",
        folder / "cells" / f"{here}.json.damaged-1",
        folder / "cells.jsonl.gz.damaged-1",
        folder / "claims" / f"{'a' * 16}.0",
    ]
    kept = [
        folder / "notes.txt",
        folder / "cells" / "readme",
        folder / "cells" / f"{'b' * 16}.json.damaged-1",
    ]
    for path in rubbish + kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    rubbish[2].write_bytes((folder / "cells.jsonl.gz").read_bytes()[:-20])
    outside = folder.parent / "outside.tmp"
    outside.write_text("precious")
    code, out, _ = call("clean", folder, "--stale", "--yes")
    assert code == 0
    assert out.splitlines()[0] == f"cell {failed['key']} is failed and not in the plan"
    assert out.splitlines()[-1] == "Removed: 1 record, 4 files."
    assert not any(path.exists() for path in rubbish)
    assert all(path.exists() for path in [*kept, outside])
    assert not (folder / "claims").exists()
    assert sorted(Store(folder).statuses()) == sorted([*keys(folder)[:3], unplanned["key"]])


def test_an_empty_plan_costs_no_cell(call: Call, folder: Path) -> None:
    before = Store(folder).statuses()
    (folder / "plan.jsonl.gz").write_bytes(b"")
    with pytest.warns(UserWarning, match="It was made anew from sweep.toml"):
        assert call("clean", folder, "--stale", "--yes")[:2] == (0, "Nothing to remove.\n")
    assert Store(folder).statuses() == before


def test_clean_waits_for_no_sweep_and_needs_one_thing_to_do(call: Call, folder: Path) -> None:
    with Claims(folder):
        for what in ("--stale", "--failed"):
            code, _, err = call("clean", folder, what, "--yes")
            assert code == 2
            assert "A sweep is running into" in err
            assert f"process {os.getpid()}, since 2" in err
        assert f"process {os.getpid()}, since 2" in call("status", folder)[1]
    for flags in ([], ["--stale", "--failed"]):
        assert call("clean", folder, *flags)[0] == 2


def test_merge_writes_tables_too(call: Call, folder: Path, tmp_path: Path) -> None:
    code, out, _ = call("merge", folder, folder, "-o", tmp_path / "all")
    assert (code, out) == (0, f"3 of 4 cells in {tmp_path / 'all'}\n")
    assert (tmp_path / "all" / "leaderboard.md").is_file()
    code, _, err = call("merge", folder, "-o", tmp_path / "all")
    assert code == 2
    assert "Give -o a new folder" in err


def test_status_watched_in_a_pipe_is_a_line_for_every_change(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_module, "_SECONDS", 0.02)
    row = list(Store(folder).planned())[3]
    looks = []

    def write_later(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            Store(folder).write(CellRecord(**row, status="diverged", metrics=METRICS))

    monkeypatch.setattr(status_module.time, "sleep", write_later)
    code, out, _ = call("status", folder, "--watch")
    assert code == 0
    assert out.splitlines() == [
        "3 of 4 cells stored, 1 done, 1 failed, 1 oom",
        "4 of 4 cells stored, 1 diverged, 1 done, 1 failed, 1 oom",
    ]
    assert call("status", folder, "--watch", "--format", "json")[0] == 2


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sweep of two cells that were run, in this process."""
    store = Store(tmp_path_factory.mktemp("verified") / "s")
    axes = {"clients": 5, "rounds": 2, "model": "logistic", "root_size": 20, "malicious": 0.2}
    sweep = make_sweep({}, {"name": "s", "aggregator": "mean,median", "attack": "sign_flip", **axes})
    store.write_plan(to_toml(sweep), [plan_row(planned) for planned in expand(sweep)])
    for rule in ("mean", "median"):
        store.write(run_cell(aggregator=rule, attack="sign_flip", **axes).record)
    return store.folder


@pytest.mark.usefixtures("cells_here")
def test_verify_tells_true_cells_from_changed_ones(call: Call, real: Path) -> None:
    code, out, err = call("verify", real, "--sample", "5", "-j", "1")
    assert code == 0, err
    assert out.count("bit for bit  same") == 2
    assert err.startswith("2 of 2 cells the same, 0 different, 0 made by another version")
    path = sorted((real / "cells").iterdir())[0]
    record = unseal(path.read_bytes())
    record["metrics"]["accuracy"] += 0.25
    path.write_bytes(seal(record))
    stolen = sorted((real / "cells").iterdir())[1]
    older = unseal(stolen.read_bytes())
    older["provenance"]["versions"] = {"torch": "0.1"}
    older["metrics"]["accuracy"] += 0.0005
    stolen.write_bytes(seal(older))
    code, out, _ = call("verify", real, "-j", "1", "--format", "json")
    assert code == 1
    rows = {row["key"]: row for row in json.loads(out)}
    changed = rows[path.stem]
    assert (changed["verdict"], changed["what"]) == ("differs", "metrics.accuracy")
    assert changed["stored"] - changed["now"] == pytest.approx(0.25)
    assert (rows[stolen.stem]["verdict"], rows[stolen.stem]["allowed"]) == ("same", "0.001")


def test_verify_of_nothing_or_of_an_unknown_method(call: Call, folder: Path) -> None:
    Store(folder).drop(keys(folder)[:1])
    code, _, err = call("verify", folder)
    assert code == 2
    assert "holds no finished cell to run again" in err
