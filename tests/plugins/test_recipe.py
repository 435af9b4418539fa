"""The recipes for a method of one's own, followed to the letter in an empty folder."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TINY = ["--clients", "6", "--rounds", "2", "-m", "logistic", "-f", "0.34", "--root-size", "20", "-j", "1"]


def recipe(document: str, heading: str) -> tuple[str, list[list[str]]]:
    """Return the recipe's Python file and its commands."""
    text = (ROOT / document).read_text()
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^( *)```(\w+)\n(.*?)^ *```$", section, re.DOTALL | re.MULTILINE)
    found = {language: textwrap.dedent(body) for _, language, body in blocks if language != "toml"}
    assert set(found) == {"python", "console"}
    commands = [shlex.split(line.removeprefix("$ ")) for line in found["console"].splitlines()]
    return found["python"], commands


@pytest.mark.parametrize(
    ("document", "heading", "name", "file", "axes"),
    [
        (
            "CONTRIBUTING.md",
            "Add an aggregator in one file",
            "my_rule",
            "my_rule.py",
            ("mean,my_rule", "none,alie"),
        ),
        ("CONTRIBUTING.md", "Add an attack", "half_back", "half_back.py", ("mean,median", "none,half_back")),
        (
            "CONTRIBUTING.md",
            "Add a data set in one file",
            "stripes",
            "stripes.py",
            ("mean,median", "none,sign_flip"),
        ),
        (
            "README.md",
            "Add a rule",
            "mid_range",
            "my_rule.py",
            ("mean,mid_range", "none,alie"),
        ),
    ],
)
def test_the_recipe_makes_a_method_that_passes_its_checks_and_is_swept(
    document: str,
    heading: str,
    name: str,
    file: str,
    axes: tuple[str, str],
    tmp_path: Path,
    run_here: Callable[..., Any],
) -> None:
    source, (check, sweep) = recipe(document, heading)
    (tmp_path / file).write_text(source)

    def run(command: list[str], *more: str) -> str:
        assert Path(command[0]).name == "robustbench-fl"
        done = run_here(tmp_path, *command[1:], *more)
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    assert check[1:] == ["check", name, "--plugin", file]
    rows = json.loads(run(check, "--format", "json"))
    assert len(rows) > (4 if name == "stripes" else 15)
    assert {(row["method"], row["outcome"]) for row in rows} == {(name, "pass")}

    assert sweep[1] == "sweep"
    printed = run(sweep, *TINY)
    assert name in printed or name in (tmp_path / "results/sweep/sweep.toml").read_text()
    rules, attacks = (axis.split(",") for axis in axes)
    cells = [json.loads(path.read_text()) for path in (tmp_path / "results/sweep/cells").glob("*.json")]
    assert {cell["status"] for cell in cells} == {"done"}
    assert sorted((cell["labels"]["aggregator"], cell["labels"]["attack"]) for cell in cells) == sorted(
        (rule, attack) for rule in rules for attack in attacks
    )
