"""The page on the suite shows what its files and the committed cells give."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pages_tables_are_made_from_the_suites_files() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "suite_tables.py"))
    text = (ROOT / "docs" / "suite.md").read_text()
    assert made["page"](text) == text
