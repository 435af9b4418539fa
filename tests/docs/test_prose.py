"""The prose of README and docs: lines that fit, and the field's words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MADE = ("catalogue.md", "faithfulness.md", "cli.md")
"""Pages that are made from docstrings."""
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in MADE),
]
NOT_OURS = re.compile(r"\byardstick|\btold\b|\btax\b|what one sees|\brubbish\b", re.IGNORECASE)


def prose(text: str) -> list[str]:
    """Return the lines of a page that somebody wrote and that are no row of a table and no picture."""
    written = re.sub(r"<!-- ([\w-]+) -->.*?<!-- /\1 -->", "", text, flags=re.DOTALL)
    return [line for line in written.splitlines() if not line.startswith(("|", "!", "<"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_end_before_120_characters(page: Path) -> None:
    assert [line for line in prose(page.read_text()) if len(line) > 119] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_words_are_the_fields(page: Path) -> None:
    assert [line for line in prose(page.read_text()) if NOT_OURS.search(line)] == []
