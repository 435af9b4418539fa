"""Put the leaderboard of the committed reference sweep into the README: ``python docs/readme_table.py``."""

from __future__ import annotations

import re
from pathlib import Path

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.analysis.table import Table
from robustbench_fl.report.tables import render
from robustbench_fl.store import Store

ROOT = Path(__file__).parent.parent


SHOWN = (
    *("track", "rank", "rank_low", "rank_high", "tied", "aggregator"),
    *("worst_accuracy", "worst_low", "worst_high", "worst_attack", "mean_accuracy", "clean_accuracy"),
)
CAPTION = """
Worst: accuracy under the worst attack of each block, mean over four blocks, with its 95 % interval over five
seeds. Ranks are by track, by what the server knows (A: nothing, B: f, C: the model, clients or the past, D:
root data), equal (=) where a test over all pairs cannot tell rules apart; in brackets the places that it
leaves open. All columns, and what else must be known:
[leaderboard.md](results/reference-digits/leaderboard.md)."""


def page(text: str) -> str:
    """Return the README's `text` with what stands between its markers made anew."""
    cells = frame(Store.existing(ROOT / "results" / "reference-digits").records())
    board = leaderboard(cells)
    kept = board.table[[name for name in SHOWN if name in board.table]]
    table = render(Table(kept, "rank", board.score_column, ()), "md")
    marked = "\n".join(["<!-- leaderboard -->", table, CAPTION, "<!-- /leaderboard -->"])
    return re.sub(r"<!-- leaderboard -->.*?<!-- /leaderboard -->", lambda _: marked, text, flags=re.DOTALL)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(page(readme.read_text()))
