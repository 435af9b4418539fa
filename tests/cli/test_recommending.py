"""Where `recommend` answers from."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from robustbench_fl.cli import recommending
from robustbench_fl.cli.main import cli
from robustbench_fl.core.errors import UsageError

ROOT = Path(__file__).parents[2]
ASKED = ["recommend", "--clients", "10", "--malicious", "0.3", "--alpha", "0.1", "--params", "22600"]


def test_the_suite_answers_once_its_main_blocks_are_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(recommending, "TIER", "smoke")
    done = CliRunner().invoke(cli, ASKED)
    assert done.exit_code == 0, done.output
    assert "scaled from 2,260 parameters to 22,600" in " ".join(done.output.split())
    monkeypatch.setattr(recommending, "_is_finished", lambda folder: folder.name == "reference-digits")
    assert recommending._standard() == (Path("results/reference-digits"),)
    monkeypatch.setattr(recommending, "_is_finished", lambda folder: False)
    with pytest.raises(UsageError, match="neither the suite rbfl-1 nor results/reference-digits is here"):
        recommending._standard()
