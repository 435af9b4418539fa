"""The page on the suite shows what its files and the committed cells give."""

from __future__ import annotations

import runpy
from pathlib import Path

from click.testing import CliRunner

from robustbench_fl.cli.main import cli

ROOT = Path(__file__).parents[2]


def test_the_pages_tables_are_made_from_the_suites_files() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "suite_tables.py"))
    text = (ROOT / "docs" / "suite.md").read_text()
    assert made["page"](text) == text


def test_the_smallest_committed_page_is_what_the_code_makes(tmp_path: Path) -> None:
    """One page stands for all: `make boards` makes them together."""
    kept = min((ROOT / "results" / "rbfl-1-cpu").glob("*/report.html"), key=lambda page: page.stat().st_size)
    made = tmp_path / "report.html"
    done = CliRunner().invoke(cli, ["report", str(kept.parent), "-o", str(made)])
    assert done.exit_code == 0, done.output
    assert made.read_bytes() == kept.read_bytes()
