"""The page on faithfulness is what the docstrings say."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_committed_page_is_made_from_the_docstrings() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "faithfulness_page.py"))
    assert made["page"]() == (ROOT / "docs" / "faithfulness.md").read_text(), "run make faithfulness"
