"""What runs no simulation answers without the packages that take seconds to import."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from robustbench_fl.api import registry
from robustbench_fl.cli import answers
from robustbench_fl.cli.main import cli

QUICKSTART = Path(__file__).parents[2] / "results" / "quickstart"
pytestmark = pytest.mark.usefixtures("no_plugins")
"""Answers with plug-ins are not kept, and other tests of this process may have registered some."""
HEAVY = ("torch", "torchvision", "pandas", "scipy", "sklearn", "matplotlib")
LIGHT = (
    *("list attacks", "data list", "describe krum", "env", "status DIR", "compare DIR DIR", "failures DIR"),
    *("leaderboard DIR", "matrix DIR", "differences DIR"),
)
SCRIPT = """
import json, sys
from click.testing import CliRunner
from robustbench_fl.cli.main import cli
found = []
for command in json.loads(sys.argv[1]):
    done = CliRunner().invoke(cli, command)
    heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
    found.append([done.exit_code, done.stdout, heavy])
print(json.dumps(found))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(QUICKSTART, tmp_path / "quickstart"))


def said(*command: str) -> str:
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_second_answer_imports_no_torch_no_torchvision_and_no_pandas(folder: Path) -> None:
    commands = [[str(folder) if word == "DIR" else word for word in line.split()] for line in LIGHT]
    first = [said(*command) for command in commands]
    arguments = [json.dumps(commands), json.dumps(HEAVY)]
    # Not the environment of the process itself, to which readline may have added the terminal's width.
    here = dict(os.environ)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, env=here
    )
    assert done.returncode == 0, done.stderr
    for command, text, (code, again, heavy) in zip(LIGHT, first, json.loads(done.stdout), strict=True):
        assert (command, code, heavy) == (command, 0, [])
        assert again == text


def test_the_first_answer_about_methods_and_data_loads_nothing_heavy(tmp_path: Path) -> None:
    commands = ["list --format md", "list --groups", "data list", "describe fedredefense", "partition"]
    script = SCRIPT.replace("found = []", "load_later('torch')\nfound = []").replace(
        "name in sys.modules", "is_loaded(name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"from robustbench_fl.core.later import is_loaded, load_later{script}",
         json.dumps([command.split() for command in commands]), json.dumps(HEAVY)],
        capture_output=True, text=True, env={**os.environ, "ROBUSTBENCH_FL_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [(code, heavy) for code, _, heavy in json.loads(done.stdout)] == [(0, [])] * len(commands)


def test_an_answer_that_is_not_as_it_was_written_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ROBUSTBENCH_FL_CACHE", str(tmp_path))
    assert answers.remembered(["a"], lambda: [1, "x"]) == [1, "x"]
    assert answers.remembered(["a"], lambda: [2]) == [1, "x"]
    (file,) = (tmp_path / "answers").iterdir()
    file.write_bytes(file.read_bytes().replace(b'"x"', b'"y"'))
    assert answers.remembered(["a"], lambda: [3]) == [3]
    monkeypatch.setattr(answers, "digest_of_sources", lambda *parts: "other code")
    assert answers.remembered(["a"], lambda: [4]) == [4]


def test_a_changed_folder_gives_another_answer(folder: Path) -> None:
    before = said("status", str(folder))
    assert said("status", str(folder)) == before
    said("unpack", str(folder))
    next((folder / "cells").iterdir()).unlink()
    after = said("status", str(folder))
    assert "missing" in after
    assert "missing" not in before


def test_what_was_warned_of_is_said_every_time(folder: Path) -> None:
    said("unpack", str(folder))
    cell = next((folder / "cells").iterdir())
    cell.write_text(cell.read_text().replace('"done"', '"Done"'))
    for command in ("leaderboard", "leaderboard", "status"):
        with pytest.warns(UserWarning, match="checksum does not fit") as heard:
            done = CliRunner().invoke(cli, [command, str(folder)])
        assert done.exit_code == 0
        assert len(heard) == 1


def test_a_plug_in_is_asked_itself(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from dataclasses import dataclass\nfrom robustbench_fl.aggregators.mean import Mean\n"
        "from robustbench_fl.api import register\n@register('mine')\n@dataclass(frozen=True, kw_only=True)\n"
        "class Mine(Mean):\n    '''First.'''\n"
    )
    assert not registry.has_plugins()
    assert "First." in said("describe", "mine", "--plugin", str(plugin))
    assert registry.has_plugins()
    assert "mine" in said("list", "aggregators")


def test_only_the_newest_answers_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ROBUSTBENCH_FL_CACHE", str(tmp_path))
    monkeypatch.setattr(answers, "_MOST", 2)
    for number in range(4):
        answers.remembered([str(number)], lambda: 0)
    assert len(list((tmp_path / "answers").iterdir())) == 2
