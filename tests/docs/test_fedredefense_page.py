"""The page on FedREDefense shows what the committed cells give."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_pages_tables_are_made_from_the_committed_cells() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "fedredefense_tables.py"))
    text = (ROOT / "docs" / "fedredefense.md").read_text()
    assert made["page"](text) == text
