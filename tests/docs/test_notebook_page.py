"""The notebook of the docs runs from top to bottom."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from click.testing import CliRunner

from robustbench_fl.cli.main import cli
from robustbench_fl.sweep.runner import local
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute

NOTEBOOK = Path(__file__).parents[2] / "docs" / "sweep_to_server.ipynb"


class HereBackend:
    """Runs cells in this process."""

    def __init__(self, jobs: int, environment: Environment, *more: object) -> None:
        self.environment = environment

    def run(self, cells: Any, *more: object) -> Any:
        for cell in cells:
            yield execute(cell, self.environment)


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "LocalBackend", HereBackend)
    matplotlib.use("svg")
    here: dict[str, Any] = {"__name__": "notebook"}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        source = "".join(cell["source"])
        assert cell.get("outputs", []) == []
        if cell["cell_type"] != "code":
            continue
        if source.startswith("!robustbench-fl "):
            done = CliRunner().invoke(
                cli, shlex.split(source.replace("\\\n", " "))[1:], catch_exceptions=False
            )
            assert done.exit_code == 0, done.output
        else:
            exec(compile(source, NOTEBOOK.name, "exec"), here)
    assert here["accuracy"].loc[here["winner"], "worst"] > here["accuracy"].loc["mean", "worst"]
    assert here["reached"] > 0.85
    assert here["again"].round == 8
    assert (tmp_path / "worst.svg").stat().st_size > 3000
