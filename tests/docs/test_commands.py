"""Every command that README and the pages of ``docs/`` print runs, as printed or with one round."""

from __future__ import annotations

import re
import shlex
import shutil
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from robustbench_fl.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN = [page for page in PAGES if page.name != "CONTRIBUTING.md"]
"""Those whose commands run here; the recipes of CONTRIBUTING have a test of their own."""

NOT_RUN = {
    "data fetch": "fetches files",
    "--backend ray": "needs a Ray cluster",
    "--watch": "waits for another process",
    "…": "stands for something the reader fills in",
    "big.toml": "is the reader's own",
    "cifar10_subset": "is the reader's own",
    "hf(path=": "is the reader's own",
}
"""Parts of commands that no test can run, and why."""
PLANNED = {
    "paper-": "takes files",
    "fashion_mnist": "takes files",
    "--device cuda": "needs a GPU",
    "svhn": "takes files",
    "-d har": "takes files",
    "-d shakespeare": "takes files",
}
"""Parts of sweeps that are planned in place of being run, and why."""
SHORT = ["--rounds", "1", "--seeds", "0:1", "-j", "1"]
FEW = ["-a", "mean,krum", "-t", "none,alie", "--name", "short"]


def commands(text: str) -> list[str]:
    """Return the robustbench-fl commands of the console blocks of a page."""
    found = []
    for block in re.findall(r"^ *```console\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        joined = re.sub(r"\\\n\s*", "", block)
        for line in joined.splitlines():
            if match := re.match(r"\s*\$ (?:\.venv/bin/)?robustbench-fl (.*?)(?:\s+#.*)?$", line):
                found.append(match[1])
    return found


def files(text: str) -> dict[str, str]:
    """Return the Python files that a page prints, by the name in their first line."""
    blocks = re.findall(r"^( *)```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    code = [textwrap.dedent(body) for _, body in blocks]
    return {m[1]: body for body in code if (m := re.match(r"# (\w+\.py)\n", body))}


def as_run(command: str) -> list[str] | None:
    """Return the arguments a command is tried with, ``None`` for one that cannot be."""
    if any(part in command for part in NOT_RUN):
        return None
    words = shlex.split(command)
    if words[0] != "sweep":
        return ["digits" if word == "fashion_mnist" else word for word in words]  # which takes no files
    if any(part in command for part in PLANNED):
        without = [w for w in words[1:] if w not in ("--download", "--device", "cuda")]
        return ["plan", *without]
    return words + SHORT + (FEW if any(word.endswith(".toml") for word in words) else [])


@pytest.mark.usefixtures("cells_here", "no_plugins")
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "sweeps", "sweeps")
    shutil.copytree(ROOT / "results" / "quickstart", "results/quickstart")
    text = page.read_text()
    for name, body in files(text).items():
        Path(name).write_text(body)
    for command in commands(text):
        words = as_run(command)
        if words is None:
            continue
        for folder in re.findall(r"results/[\w-]+", command):
            if not Path(folder).exists() and words[0] != "sweep" and f"-o {folder}" not in command:
                known = (ROOT / folder / "plan.jsonl.gz").is_file()
                shutil.copytree(ROOT / folder if known else ROOT / "results" / "quickstart", folder)
        result = CliRunner().invoke(cli, words, catch_exceptions=True)
        assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"


def test_inline_commands_and_options_exist() -> None:
    commands = [*cli.commands.values(), *cli.commands["data"].commands.values()]  # type: ignore[attr-defined]
    known = {name for c in commands for p in c.params for name in (*p.opts, *p.secondary_opts)}
    for page in PAGES:
        for inline in re.findall(r"`robustbench-fl ([^`]+)`", page.read_text()):
            words = inline.split()
            assert words[0] in cli.commands or words[0].startswith("-"), f"{page.name}: {inline}"
            for option in re.findall(r"(?<=\s)--[a-z-]+", inline):
                assert option in known, f"{page.name}: {inline}"


def test_the_table_of_commands_is_whole() -> None:
    table = (ROOT / "docs" / "usage.md").read_text().split("| command | does |")[1].split("\n\n")[0]
    named = {word for row in table.splitlines() for word in re.findall(r"`([a-z-]+)", row.split(" | ")[0])}
    assert set(cli.commands) - named == set()  # type: ignore[attr-defined]


def test_something_is_found() -> None:
    assert sum(len(commands(page.read_text())) for page in PAGES) > 25
