"""``compare`` and ``badge`` as a continuous-integration job runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from robustbench_fl.cli.main import cli
from robustbench_fl.core.record import CellRecord
from robustbench_fl.store import Store

QUICK = Path(__file__).parents[2] / "results" / "quickstart"
pytestmark = pytest.mark.skipif(not QUICK.is_dir(), reason="needs the committed results")


@pytest.fixture
def worse(tmp_path: Path) -> Path:
    """The committed quick start with ten points less for krum in every cell."""
    shutil.copytree(QUICK, tmp_path / "worse", ignore=shutil.ignore_patterns("figures"))
    store = Store.existing(tmp_path / "worse")
    for record in list(store.stored()):
        if record["labels"]["aggregator"] == "krum":
            record["metrics"]["accuracy"] = max(0.0, record["metrics"]["accuracy"] - 0.1)
            store.write(CellRecord.model_validate(record))  # a loose cell wins over the packed one
    return tmp_path / "worse"


def test_a_regression_is_said_and_fails_only_when_asked(worse: Path) -> None:
    runner = CliRunner()
    arguments = ["compare", str(QUICK), str(worse)]
    assert runner.invoke(cli, arguments).exit_code == 0
    failed = runner.invoke(cli, [*arguments, "--fail-on-regression"])
    assert failed.exit_code == 1
    assert [line.split(":")[1].strip() for line in failed.stderr.splitlines()] == ["krum", "all rules"]
    lenient = runner.invoke(cli, [*arguments, "--fail-on-regression", "--tolerance", "0.2"])
    assert lenient.exit_code == 0
    better = runner.invoke(cli, ["compare", str(worse), str(QUICK), "--fail-on-regression"])
    assert better.exit_code == 0


def test_the_installed_command_exits_with_1(worse: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "robustbench_fl",
        "compare",
        str(QUICK),
        str(worse),
        "--fail-on-regression",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.startswith("Regression: krum: accuracy -0.0")


def test_the_badge_is_one_line_of_json() -> None:
    done = CliRunner().invoke(cli, ["badge", str(QUICK)])
    assert done.output.count("\n") == 1
    said = json.loads(done.output)
    assert (said["best"], said["cells"], said["color"]) == ({}, 308, "lightgrey")  # one seed: no ranks
