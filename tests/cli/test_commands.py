"""The command line: what it prints, how fast it starts, how it refuses."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from robustbench_fl.cli.main import main


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    stdout: str
    stderr: str
    returncode: int


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run the command line in this process, as the installed script does."""

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["robustbench-fl", *arguments])
        monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterwards
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        return Said(printed.out, printed.err, int(stop.value.code or 0))

    return run


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list", "--names"], ["sweep", "--help"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys, runpy\n"
        f"sys.argv = ['robustbench-fl', *{arguments!r}]\n"
        "try:\n    runpy.run_module('robustbench_fl', run_name='__main__')\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "from robustbench_fl.core.later import is_loaded\n"
        "names = ['torch', 'torchvision', 'sklearn', 'pandas', 'scipy', 'matplotlib']\n"
        "heavy = [name for name in names if is_loaded(name)]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_help_answers_in_under_half_a_second() -> None:
    # CPU time, since a busy machine distorts wall time.
    seconds = []
    for _ in range(3):
        before = os.times()
        done = subprocess.run(
            [sys.executable, "-m", "robustbench_fl", "--help"], stdout=subprocess.DEVNULL, check=True
        )
        after = os.times()
        assert done.returncode == 0
        used = after.children_user + after.children_system - before.children_user - before.children_system
        seconds.append(used)
    assert min(seconds) < 0.5


def test_list_json_is_one_array_with_the_pre_aggregators_marked(call: Callable[..., Said]) -> None:
    rows = json.loads(call("list", "aggregators", "--format", "json").stdout)
    kinds = {row["name"]: row["kind"] for row in rows}
    assert kinds["nnm"] == kinds["bucketing"] == "pre-aggregator"
    assert kinds["krum"] == "rule"
    assert kinds["oracle_mean"] == "baseline"


@pytest.mark.parametrize("kind", ["aggregators", "attacks", "partitions", "datasets", "models"])
def test_every_kind_lists_in_every_format(call: Callable[..., Said], kind: str) -> None:
    names = call("list", kind, "--names").stdout.split()
    assert names == sorted(names)
    for format_ in ("table", "md", "csv", "json"):
        done = call("list", kind, "--format", format_)
        assert done.returncode == 0, done.stderr
        assert all(name in done.stdout for name in names)


def test_describe_shows_parameters_ranges_and_the_source(call: Callable[..., Said]) -> None:
    text = call("describe", "trimmed_mean").stdout
    assert "trim" in text
    assert "[0, 0.5)" in text
    assert "Yin" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", "-a", "krumm", "-t", "none"], "Did you mean krum"),
        (["sweep", "-a", "krum(kk=3)", "-t", "none"], "krum in aggregator has no parameter 'kk'"),
        (["sweep", "-a", "trimmed_mean(trim=0.7)", "-t", "none"], "a number in [0, 0.5) or none, got 0.7"),
        (["sweep", "-a", "krum(", "-t", "none"], "^"),
        (["sweep", "-a", "krum > nnm", "-t", "none"], "pre-aggregator"),
        (["sweep", "-a", "krum", "-t", "none", "-f", "1"], "malicious"),
        (["sweep", "-a", "krum", "-t", "none", "-f", "many"], "--malicious must be a number, got 'many'"),
        (["sweep", "-a", "krum", "-t", "none", "--rounds", "0"], "rounds"),
        (["sweep", "-t", "none"], "No aggregator is given"),
        (["sweep", "-a", "krum"], "No attack is given"),
        (["sweep", "nowhere.toml"], "Cannot read the sweep file 'nowhere.toml'"),
        (["sweep", "-a", "krum", "-t", "none", "-p", "iid", "--alpha", "1"], "not both"),
        (["sweep", "-a", "krum", "-t", "none", "--local-steps", "1", "--local-epochs", "1"], "give one"),
        (["sweep", "-a", "krum", "-t", "none", "--assumed-f", "3x"], "assumed_f"),
        (["sweep", "-a", "krum", "-t", "none", "--name", "../escape"], "names a folder"),
        (["sweep", "-a", "krum", "-t", "none", "-j", "0"], "--jobs"),
        (["sweep", "-a", "krum", "-t", "none", "--device", "tpu"], "is not one of"),
        (["sweep", "-a", "krum", "-t", "none", "-j", "²"], "--jobs must be auto or a whole number"),
        (["sweep", "-a", "krum", "-t", "none", "--plugin", "nowhere.py"], "not a file"),
        (["leaderboard", "/nonexistent"], "holds no sweep"),
        (["describe", "krumm"], "Did you mean krum"),
        (["show", "0123", "/nonexistent"], "holds no sweep"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_sentence_and_exit_code_2(
    call: Callable[..., Said],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_plan_counts_cells_and_names_the_infeasible_ones_with_numbers(
    call: Callable[..., Said], tmp_path: Path
) -> None:
    arguments = ["-a", "mean,krum", "-t", "none,alie", "-f", "0,0.3,0.45", "-o", str(tmp_path / "out")]
    done = call("plan", *arguments)
    assert done.returncode == 0, done.stderr
    # Fraction 0 is one cell a rule, whatever the attack: 2 rules x (1 + 2 + 2).
    assert "10 cells, 8 to run, 2 infeasible" in done.stdout
    assert "f = 9" in done.stdout
    assert "n = 20" in done.stdout
    assert not (tmp_path / "out").exists()
    rows = json.loads(call("plan", *arguments, "--format", "json").stdout)
    assert len(rows) == 10
    assert len({row["key"] for row in rows}) == 10


def test_a_warning_is_a_sentence_without_a_line_of_code(tmp_path: Path) -> None:
    quickstart = Path(__file__).parents[2] / "results" / "quickstart"
    shutil.copy(quickstart / "sweep.toml", tmp_path)
    shutil.copy(quickstart / "plan.jsonl.gz", tmp_path)
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "notes.json").write_text("{}")
    command = [
        sys.executable,
        "-m",
        "robustbench_fl",
        "failures",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    said = "Warning: cells/notes.json is not named after a cell. Its cell counts as missing.\n"
    assert (done.returncode, done.stderr) == (0, said)


def test_plan_reads_no_data(call: Callable[..., Said], tmp_path: Path) -> None:
    done = call(
        "plan", "-d", "fashion_mnist", "-a", "mean", "-t", "none", "--name", "x", "-o", str(tmp_path / "x")
    )
    assert done.returncode == 0, done.stderr
    assert "1 cell, 1 to run" in done.stdout


@pytest.mark.parametrize("command", ["leaderboard", "matrix", "attacks", "costs", "report"])
def test_a_sweep_without_results_is_said_to_have_none(
    call: Callable[..., Said], command: str, tmp_path: Path
) -> None:
    for name in ("plan.jsonl.gz", "sweep.toml"):
        shutil.copy(Path(__file__).parents[2] / "results" / "quickstart" / name, tmp_path)
    said = call(command, str(tmp_path))
    assert said.returncode == 2
    assert f"No cell of {str(tmp_path)!r} has a result yet: 308 are planned." in said.stderr
