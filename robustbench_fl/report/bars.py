"""The leaderboard as bars: worst case, mean and clean accuracy of every rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from robustbench_fl.analysis.leaderboard import HONEST, Leaderboard
from robustbench_fl.report.canvas import COLOURS, INK, MUTED, encoded, figure, style

_ROW = 0.3
_FILL, _EDGE = "#a6cfe8", COLOURS[0]


def worst_bars(board: Leaderboard) -> bytes | None:
    """Return the figure of a leaderboard, or None if no rule has a score.

    A bar is the score that ranks (with its interval), a circle the mean over attacks, a diamond
    clean accuracy. Rules that are not ranked have an outlined bar.
    """
    table = board.table[board.table[board.score_column].notna()]
    if table.empty:
        return None
    with style():
        drawn = figure(6.2, _ROW * len(table) + 0.5)
        axes = drawn.add_axes((0, 0, 1, 1))
        places = np.arange(len(table))
        _bars(axes, table, places, board.score_column)
        _marks(axes, table, places)
        axes.set_yticks(places, table["aggregator"])
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("accuracy, %")
        axes.grid(True, axis="x")
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        for text, is_ranked in zip(axes.get_yticklabels(), table["rank"].notna(), strict=True):
            text.set(style="normal" if is_ranked else "italic", color=INK if is_ranked else MUTED)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, borderaxespad=0.0)
        axes.set_title("Worst case, mean and clean accuracy", loc="left", fontweight="bold")
        if absent := sorted(set(board.table["aggregator"]) - set(table["aggregator"])):
            note = f"without a score for lack of cells: {', '.join(absent)}"
            axes.annotate(note, (0, 0), (0, -36), "axes fraction", "offset points", color=MUTED, fontsize=8)
        return encoded(drawn)


def _bars(axes: Any, table: pd.DataFrame, places: Any, score: str) -> None:
    ranked = table["rank"].notna().to_numpy()
    length = 100 * table[score].to_numpy()
    label = "worst case" + (", honest" if score == HONEST else "")
    looks = ((ranked, _FILL, "", label), (~ranked, "white", "////", f"{label}, not ranked"))
    for chosen, fill, hatch, name in looks:
        if chosen.any():
            axes.barh(places[chosen], length[chosen], height=0.62, color=fill, edgecolor=_EDGE, hatch=hatch,
                      linewidth=0.8, label=name)  # fmt: skip
    if score == HONEST and "honest_low" in table:
        known = table["honest_low"].notna().to_numpy()
        low, high = (100 * table[f"honest_{end}"].to_numpy() for end in ("low", "high"))
        axes.hlines(places[known], low[known], high[known], color=INK, linewidth=1.4, label="95 % interval")


def _marks(axes: Any, table: pd.DataFrame, places: Any) -> None:
    marks = (("mean_accuracy", "o", "white", INK, "mean over attacks"),
             ("clean_accuracy", "D", COLOURS[1], "white", "clean"))  # fmt: skip
    for name, marker, fill, edge, label in marks:
        axes.plot(
            100 * table[name], places, marker, color=fill, markeredgecolor=edge, markersize=6, label=label
        )
