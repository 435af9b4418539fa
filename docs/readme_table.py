"""Put the leaderboard of the committed reference sweep into the README: ``python docs/readme_table.py``."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.report.tables import render
from robustbench_fl.store import Store

ROOT = Path(__file__).parent.parent


def page(text: str) -> str:
    """Return the README's `text` with what stands between its markers made anew."""
    cells = frame(Store.existing(ROOT / "results" / "reference-digits").records())
    table = render(leaderboard(cells), "md", wide=False)
    lines = [line if line.startswith("|") else textwrap.fill(line, 118) for line in table.splitlines()]
    marked = "\n".join(["<!-- leaderboard -->", *lines, "<!-- /leaderboard -->"])
    return re.sub(r"<!-- leaderboard -->.*?<!-- /leaderboard -->", lambda _: marked, text, flags=re.DOTALL)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(page(readme.read_text()))
