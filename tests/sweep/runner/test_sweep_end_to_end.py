"""Sweeps as a user runs them: real processes, killed, resumed, grown."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-m", "robustbench_fl"]
SMALL = ["--clients", "10", "--rounds", "3", "-m", "mlp(hidden=[16])", "--root-size", "50", "-f", "0.2"]
GRID = ["-a", "mean,krum,fedredefense", "-t", "none,alie,sign_flip", *SMALL]


def sweep(out: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "sweep", *arguments, "-o", str(out)],
        capture_output=True,
        text=True,
        timeout=240,
        **options,
    )


@pytest.fixture
def here(run_here: Callable[..., Any]) -> Callable[..., Any]:
    """Run a sweep of which nothing, or not how it runs its cells, is asked: in this process."""

    def sweep(out: Path, *arguments: str) -> Any:
        return run_here(Path.cwd(), "sweep", *arguments, "-o", out)

    return sweep


def numbers(folder: Path) -> dict[str, Any]:
    """Everything stored that must not depend on how the sweep was run."""
    found = {}
    for path in sorted((folder / "cells").glob("*.json")):
        record = json.loads(path.read_text())
        found[path.stem] = {k: v for k, v in record.items() if k not in ("checksum", "costs", "provenance")}
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweeps") / "one"
    done = sweep(folder, *GRID, "-j", "1")
    assert done.returncode == 0, done.stderr
    return folder


def test_every_planned_cell_is_there_with_its_tables(undisturbed: Path) -> None:
    assert len(numbers(undisturbed)) == 9
    assert {cell["status"] for cell in numbers(undisturbed).values()} == {"done"}
    for name in ("sweep.toml", "cells.csv", "leaderboard.md", "leaderboard.csv"):
        assert (undisturbed / name).stat().st_size > 0
    assert list(undisturbed.glob("matrix-*.md"))
    assert list(undisturbed.glob("matrix-*.csv"))
    assert list((undisturbed / "figures").glob("heatmap-*.png"))


def test_one_more_aggregator_adds_its_row_only(undisturbed: Path, here: Callable[..., Any]) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (undisturbed / "cells").iterdir()}
    grown = sweep(undisturbed, "-a", "median", "-t", "none,alie,sign_flip", *SMALL)
    assert grown.returncode == 0, grown.stderr
    assert "12 cells, 3 chosen, 3 to run" in grown.stdout
    assert {n: t for n, t in before.items() if (undisturbed / "cells" / n).stat().st_mtime_ns == t} == before
    again = here(undisturbed, str(undisturbed / "sweep.toml"))
    assert again.returncode == 0, again.stderr
    assert "12 cells, 0 to run" in again.stdout


def test_other_settings_are_refused_with_the_difference(undisturbed: Path, here: Callable[..., Any]) -> None:
    refused = here(undisturbed, *GRID, "--batch-size", "16", "--lr", "0.1")
    assert refused.returncode == 2
    assert "batch_size: 32 in the folder, 16 now" in refused.stderr
    assert "lr: 0.05 in the folder, 0.1 now" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_status_leaderboard_and_matrix_read_it_without_torch(undisturbed: Path) -> None:
    calls = [
        [command, str(undisturbed), "--format", format_]
        for command in ("status", "leaderboard", "matrix")
        for format_ in ("table", "md", "csv", "json")
    ]
    script = (
        "import sys\n"
        "from robustbench_fl.cli.main import cli\n"
        f"for call in {calls!r}:\n"
        "    print(call)\n"
        "    cli(call, standalone_mode=False)\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("fedredefense") >= len(calls)


def test_show_gives_a_command_that_makes_the_cell_again(
    undisturbed: Path, tmp_path: Path, run_here: Callable[..., Any]
) -> None:
    key = next(k for k, cell in numbers(undisturbed).items() if cell["labels"]["aggregator"] == "krum")
    shown = run_here(tmp_path, "show", key[:8], undisturbed)
    assert shown.returncode == 0, shown.stderr
    line = shown.stdout.strip().splitlines()[-1]
    assert line.startswith("robustbench-fl sweep ")
    again = run_here(tmp_path, *shlex.split(line)[1:], "-o", "again")
    assert again.returncode == 0, again.stderr
    assert numbers(tmp_path / "again") == {key: numbers(undisturbed)[key]}


def test_packed_results_read_the_same_and_resume(
    undisturbed: Path, run_here: Callable[..., Any], here: Callable[..., Any]
) -> None:
    import robustbench_fl as rb

    loose = rb.load_results(undisturbed)
    assert run_here(undisturbed, "pack", undisturbed).returncode == 0
    assert not (undisturbed / "cells").exists()
    assert rb.load_results(undisturbed).equals(loose)
    again = here(undisturbed, str(undisturbed / "sweep.toml"))
    assert ", 0 to run" in again.stdout, again.stderr


_FAULTY = """
import os
import warnings
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator
from robustbench_fl.api import register

@register("raises")
@dataclass(frozen=True, kw_only=True)
class Raises(Aggregator):
    '''Fails.'''
    def aggregate(self, updates, view, state):
        warnings.warn(f"look at {__file__}")
        raise ArithmeticError(f"on purpose \\udcff in {__file__}\\nand more")

@register("dies")
@dataclass(frozen=True, kw_only=True)
class Dies(Aggregator):
    '''Kills its own process.'''
    def aggregate(self, updates, view, state):
        os.kill(os.getpid(), 9)
"""


def test_a_cell_that_raises_or_kills_its_worker_costs_itself_only(
    tmp_path: Path, here: Callable[..., Any]
) -> None:
    plugin = tmp_path / "faulty.py"
    plugin.write_text(_FAULTY)
    done = sweep(
        tmp_path / "out", "-a", "raises,dies,mean,median", "-t", "none", *SMALL, "--plugin", str(plugin)
    )
    assert done.returncode == 1, done.stderr
    by_rule = {cell["labels"]["aggregator"]: cell for cell in numbers(tmp_path / "out").values()}
    assert by_rule["mean"]["status"] == by_rule["median"]["status"] == "done"
    place = f"<{tmp_path.name}>/faulty.py"
    assert by_rule["raises"]["reason"] == f"ArithmeticError: on purpose \\udcff in {place}"
    assert "and more" in by_rule["raises"]["traceback"]
    assert by_rule["raises"]["warnings"] == [f"look at {place}"]
    assert str(tmp_path) not in json.dumps(by_rule)
    assert str(Path(sys.prefix)) not in json.dumps(by_rule)
    assert str(Path.home()) not in json.dumps(by_rule)
    assert "killed by signal 9" in by_rule["dies"]["reason"]
    assert "2 of 4 cells failed" in done.stderr
    kept = here(
        tmp_path / "out", "-a", "raises,dies,mean,median", "-t", "none", *SMALL, "--plugin", str(plugin)
    )
    assert "4 cells, 0 to run" in kept.stdout
    assert kept.returncode == 1


def test_ctrl_c_keeps_what_is_finished_and_exits_130(tmp_path: Path) -> None:
    slow = ["200" if word == "3" else word for word in GRID]
    process = subprocess.Popen(
        [*COMMAND, "sweep", *slow, "-j", "2", "-o", str(tmp_path / "out")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out" / "cells").glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    statuses = Counter(cell["status"] for cell in numbers(tmp_path / "out").values())
    assert 1 <= statuses["done"] < 9
    assert 1 <= statuses["interrupted"] <= 2
    assert statuses.total() == statuses["done"] + statuses["interrupted"]
    assert f"Stopped with {statuses['done']} of 9 cells finished" in said
    assert "Traceback" not in said


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path: Path, here: Callable[..., Any]) -> None:
    (tmp_path / "file").write_text("in the way")
    done = here(tmp_path / "file" / "out", *GRID)
    assert done.returncode in (1, 2)
    assert "Cannot" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_data_says_what_where_and_how(tmp_path: Path, here: Callable[..., Any]) -> None:
    done = here(
        tmp_path / "out",
        "-d",
        "fashion_mnist",
        "-a",
        "mean",
        "-t",
        "none",
        "--rounds",
        "1",
        "--data-dir",
        str(tmp_path),
    )
    assert done.returncode == 2
    assert not (tmp_path / "out").exists()
    assert "The data set fashion_mnist is not there" in done.stderr
    assert str(tmp_path) in done.stderr
    assert "--download" in done.stderr
    assert "Traceback" not in done.stderr
