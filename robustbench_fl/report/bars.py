"""The leaderboard as bars: worst case, mean and clean accuracy of every rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from robustbench_fl.analysis.columns import bounds
from robustbench_fl.analysis.leaderboard import WORST, Leaderboard
from robustbench_fl.analysis.tracks import TRACKS
from robustbench_fl.report.canvas import COLOURS, INK, MUTED, encoded, figure, legend, style, wrapped

_ROW = 0.3
_GAP = 0.55
"""Between the axes of two tracks, in inches."""
_FILL, _EDGE = "#a6cfe8", COLOURS[0]


def worst_bars(board: Leaderboard) -> bytes | None:
    """Return the figure of a leaderboard, or None if no rule has a score.

    One group of bars a track. A bar is the accuracy under the worst attack (with its interval), a
    circle the mean over attacks, a diamond clean accuracy. What is not ranked has an outlined bar.
    """
    parts = [(track, board.of_track(track).table) for track in board.tracks]
    parts = [(track, table[table[WORST].notna()]) for track, table in parts]
    parts = [(track, table) for track, table in parts if len(table)]
    if not parts:
        return None
    heights = [_ROW * len(table) + 0.2 for _, table in parts]
    whole = sum(heights) + _GAP * (len(parts) - 1)
    numbers = pd.concat([table[[WORST, "mean_accuracy", "clean_accuracy"]] for _, table in parts])
    with style():
        drawn = figure(6.2, whole + 0.3)
        top = 1.0
        for place, ((track, table), height) in enumerate(zip(parts, heights, strict=True)):
            axes = drawn.add_axes((0, top - height / whole, 1, height / whole))
            top -= (height + _GAP) / whole
            _group(axes, table, _title(track))
            axes.set_xlim(*_limits(numbers))
            if place == 0:
                legend(drawn, *axes.get_legend_handles_labels())
        axes.set_xlabel("accuracy, %")
        if absent := sorted(board.table.loc[board.table[WORST].isna(), "aggregator"]):
            note = f"without a score for lack of cells: {', '.join(absent)}"
            axes.annotate(note, (0, 0), (0, -36), "axes fraction", "offset points", color=MUTED, fontsize=8)
        return encoded(drawn)


def _title(track: str) -> str:
    """Return what stands above a track's bars: one line, which is all there is room for."""
    whole = f"Track {track}: the server knows {TRACKS[track]}"
    return whole if whole == wrapped(whole, 9, 1.4) else f"Track {track}"


def _group(axes: Any, table: pd.DataFrame, title: str) -> None:
    places = np.arange(len(table))
    _bars(axes, table, places)
    _marks(axes, table, places)
    axes.set_yticks(places, table["aggregator"])
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for text, note in zip(axes.get_yticklabels(), table["note"], strict=True):
        text.set(style="italic" if note else "normal", color=MUTED if note else INK)
    axes.set_title(title, loc="left", fontweight="bold")


def _limits(numbers: pd.DataFrame) -> tuple[float, float]:
    """Return where the axis ends: at whole tens around all numbers, so that close ones stay apart."""
    low, high = 100 * float(numbers.min().min()), 100 * float(numbers.max().max())
    return max(10 * np.floor(low / 10) - 10, 0.0), min(10 * np.ceil(high / 10), 100.0)


def _bars(axes: Any, table: pd.DataFrame, places: Any) -> None:
    own = (table["note"] == "").to_numpy()
    length = 100 * table[WORST].to_numpy()
    looks = ((own, _FILL, "", "worst attack"), (~own, "white", "////", "worst attack, for comparison"))
    for chosen, fill, hatch, name in looks:
        if chosen.any():
            axes.barh(places[chosen], length[chosen], height=0.62, color=fill, edgecolor=_EDGE, hatch=hatch,
                      linewidth=0.8, label=name)  # fmt: skip
    if bounds(WORST)[0] in table:
        low, high = (100 * table[name].to_numpy() for name in bounds(WORST))
        known = ~np.isnan(low)
        axes.hlines(places[known], low[known], high[known], color=INK, linewidth=1.4, label="95 % interval")


def _marks(axes: Any, table: pd.DataFrame, places: Any) -> None:
    marks = (("mean_accuracy", "o", "white", INK, "mean over attacks"),
             ("clean_accuracy", "D", COLOURS[1], "white", "clean"))  # fmt: skip
    for name, marker, fill, edge, label in marks:
        axes.plot(
            100 * table[name],
            places,
            marker,
            color=fill,
            markeredgecolor=edge,
            markersize=6,
            label=label,
            clip_on=False,
            zorder=3,
        )
