"""Commands that print tables: every format, sections, a full disk."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from robustbench_fl.cli.main import cli
from robustbench_fl.core.errors import UsageError

ROOT = Path(__file__).parents[2]
QUICK = str(ROOT / "results" / "quickstart")
MATRIX = ROOT / "results" / "matrix-digits-depth"
pytestmark = pytest.mark.skipif(not Path(QUICK).is_dir(), reason="needs the committed results")
TABLES = ["leaderboard", "attacks", "costs", "detection", "matrix"]


def call(*arguments: str) -> Result:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("command", TABLES)
@pytest.mark.parametrize("format_", ["table", "md", "csv", "latex", "json"])
def test_every_table_in_every_format(command: str, format_: str) -> None:
    text = call(command, QUICK, "--format", format_).output
    assert "fedredefense" in text
    if format_ == "json":
        assert "digest" in json.loads(text)["caption"]
    elif format_ == "csv":
        assert len({len(row) for row in csv.reader(io.StringIO(text))}) == 1
    else:
        assert re.search("commit [0-9a-f]{12}", " ".join(text.replace("\n%", " ").split()))
    assert "\x1b" not in text  # not a terminal: nothing is bold


@pytest.mark.parametrize("command", ["leaderboard", "attacks", "costs", "detection"])
@pytest.mark.parametrize("format_", ["table", "md", "csv", "latex", "json"])
def test_by_gives_a_section_for_each_value(command: str, format_: str) -> None:
    text = call(command, QUICK, "--by", "alpha,fraction", "--format", format_).output
    if format_ == "json":
        sections = json.loads(text)["sections"]
        found = [(part["alpha"], part["fraction"]) for part in sections]
    elif format_ == "csv":
        rows = csv.DictReader(io.StringIO(text))
        found = list(dict.fromkeys((float(row["alpha"]), float(row["fraction"])) for row in rows))
    else:
        found = [
            (a, f) for a in (0.1, 1) for f in (0.1, 0.3) if f"alpha {a:g}, fraction {f:g}" in text.lower()
        ]
    assert found == [(0.1, 0.1), (0.1, 0.3), (1, 0.1), (1, 0.3)]


def test_a_terminal_gets_the_columns_that_fit_unless_asked() -> None:
    narrow, wide = (call("leaderboard", QUICK, *more).output for more in ([], ["--wide"]))
    assert "IQM %" not in narrow
    assert narrow.count("Track ") == 4
    assert "--wide" in narrow
    assert "IQM %" in wide
    assert max(map(len, narrow.splitlines())) < max(map(len, wide.splitlines()))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_in_a_sentence() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "robustbench_fl", "leaderboard", QUICK]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr == "Error: Cannot write the output: No space left on device. Stored cells are kept.\n"


@pytest.mark.parametrize("format_", ["table", "md", "csv", "latex", "json"])
def test_differences_in_every_format(format_: str) -> None:
    assert "oracle" in call("differences", QUICK, "--against", "krum", "--format", format_).output


def test_significance_prints_ranks_or_pairs_and_draws(tmp_path: Path) -> None:
    pytest.importorskip("scikit_posthocs", reason="needs the extra stats")
    for name in ("plan.jsonl.gz", "cells.jsonl.gz"):
        (tmp_path / name).write_bytes((MATRIX / name).read_bytes())
    assert "Friedman" in call("significance", str(tmp_path)).output
    pairs = json.loads(call("significance", str(tmp_path), "--pairs", "--format", "json").output)
    rules = {row[end] for row in pairs["rows"] for end in ("first", "second")}
    assert len(pairs["rows"]) == len(rules) * (len(rules) - 1) / 2
    call("significance", str(tmp_path), "--score", "mean", "--figure", str(tmp_path / "cd.pdf"))
    assert (tmp_path / "cd.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", [["leaderboard", QUICK], ["matrix", QUICK], ["list", "partitions"]])
def test_what_a_terminal_shows_fits_its_width(
    width: int, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = call(*command).output.splitlines()
    assert max(map(len, lines)) <= width
    said = " ".join(lines)
    whole = call(*command, "--wide").output
    assert max(map(len, whole.splitlines())) >= max(map(len, lines))
    if command[0] == "leaderboard":
        assert "No room for: " in said
        assert "All columns: --wide." in said
        assert "Worst %" in said
        assert "No room for" not in whole


@pytest.mark.parametrize("format_", ["table", "md", "latex", "html"])
def test_a_track_with_chosen_columns(format_: str) -> None:
    text = call("leaderboard", QUICK, "--track", "B", "--columns", "aggregator,worst_attack, clean_accuracy",
                "--format", format_).output  # fmt: skip
    assert text.index("Worst attack") < text.index("Clean ")
    assert "Server knows" not in text
    assert "Track A" not in text
    program = call("leaderboard", QUICK, "--columns", "worst_accuracy", "--format", "csv").output
    assert program.splitlines()[0] == "track,aggregator,worst_accuracy"


def test_an_unknown_column_is_said_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no column 'worst'\. Did you mean worst_"):
        cli(["leaderboard", QUICK, "--columns", "worst"], standalone_mode=False)
