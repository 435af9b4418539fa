"""The heat map of a block: rules × attacks, the number in every cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.matrix import matrix
from robustbench_fl.analysis.spread import seed_intervals
from robustbench_fl.report.canvas import INK, MUTED, encoded, figure, page_width, style, wrapped
from robustbench_fl.report.panels import Panel
from robustbench_fl.report.seeds import seeds_text

_MAP = "viridis"
_CELL = (0.78, 0.33)
_TALL = 0.46
"""Height of a cell that holds an interval too."""
_NAMES = 1.35
"""Room for the rules' names where the width is given, in inches."""
_FOR_INTERVAL, _FOR_TENTHS = 0.55, 0.27
"""Cells narrower than this, in inches, hold no interval, and whole numbers only."""
_WORST = "worst"
_HOLE = "#efefef"
_SWITCH = 0.2
"""Luminance above which dark digits have the better contrast."""


def heatmap(panel: Panel) -> bytes:
    """Return the figure of a block's accuracies in percent, best worst case on top.

    Means over seeds, below them their 95 % intervals where there are several. The column ``worst``
    is the minimum over the attacks that are not adaptive (without an interval: a minimum is biased);
    ``–`` is a hole, ``*`` stands on fewer cells than planned; attacks that do not hurt stand in brackets.
    """
    table = matrix(panel.cells, "aggregator", "attack", "accuracy")
    adaptive = set(panel.cells.loc[panel.cells["adaptive"], "attack"])
    regular = [name for name in table.values if name != CLEAN and name not in adaptive]
    order = [name for name in (CLEAN, *regular, *sorted(adaptive)) if name in table.values]
    worst = table.values[regular].min(axis=1).rename(_WORST)
    rules = pd.DataFrame({"worst": worst.fillna(-1), "name": worst.index})
    rules = rules.sort_values(["worst", "name"], ascending=[False, True])
    values = table.values.loc[rules.index, order].join(worst)
    marks = table.incomplete.loc[rules.index, order]
    marks[_WORST] = marks[regular].any(axis=1)
    headers = [f"({name})" if name in table.ineffective else name for name in order] + [_WORST]
    baselines = set(panel.cells.loc[~panel.cells["ranked"], "aggregator"])
    seeds = seeds_text(panel.cells)
    weak = "; in brackets: plain averaging is not hurt" if any(n[0] == "(" for n in headers) else ""
    spread = seed_intervals(panel.cells)
    with_intervals = _room(len(headers)) >= _FOR_INTERVAL
    below = ", 95 % interval below it" if with_intervals else ""
    runs = "n=1, no interval" if seeds == "n=1" else f"mean over {seeds}{below}"
    note = wrapped(f"accuracy in %, {runs}{weak}", 8, 1.2)
    if not with_intervals:
        spread = spread.iloc[:0]
    with style():
        return _draw(values, marks, spread, headers, baselines, panel.title, note)


def _draw(
    values: pd.DataFrame,
    marks: pd.DataFrame,
    spread: pd.DataFrame,
    headers: list[str],
    baselines: set[str],
    title: str,
    note: str,
) -> bytes:
    n_rows, n_cols = values.shape
    room = _room(n_cols)
    drawn = figure(room * n_cols + 1.5, (_CELL[1] if spread.empty else _TALL) * n_rows + 1.2)
    axes = drawn.add_axes((0, 0, 1, 1))
    grid = np.insert(values.to_numpy(dtype=float), n_cols - 1, np.nan, axis=1)
    xs = np.concatenate([np.arange(n_cols) - 0.5, [n_cols - 1.2, n_cols - 0.2]])
    holes = np.where(np.isnan(grid), 1.0, np.nan)
    holes[:, n_cols - 1] = np.nan
    axes.pcolormesh(
        xs,
        np.arange(n_rows + 1) - 0.5,
        holes,
        cmap=ListedColormap([_HOLE]),
        edgecolors="white",
        linewidth=1.2,
    )
    mesh = axes.pcolormesh(
        xs, np.arange(n_rows + 1) - 0.5, grid, cmap=_MAP, vmin=0, vmax=1, edgecolors="white", linewidth=1.2
    )
    centres = [*range(n_cols - 1), n_cols - 0.7]
    for i in range(n_rows):
        for j, x in enumerate(centres):
            entry = (values.index[i], values.columns[j])
            below = tuple(spread.loc[entry]) if entry in spread.index else None
            look = _Look(bold=j == n_cols - 1, size=min(9.0, 72 * room / 3.1), whole=room < _FOR_TENTHS)
            _number(axes, mesh, (x, i), values.iat[i, j], bool(marks.iat[i, j]), below, look)
    axes.set_ylim(n_rows - 0.5, -0.5)
    axes.set_yticks(range(n_rows), values.index)
    axes.set_xticks(
        centres,
        headers,
        rotation=90 if page_width() else 40,
        ha="left",
        va="center" if page_width() else "baseline",
        rotation_mode="anchor",
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for label in axes.get_yticklabels():
        if label.get_text() in baselines:
            label.set(style="italic", color=MUTED)
    axes.get_xticklabels()[-1].set_fontweight("bold")
    axes.set_title(wrapped(title, 10.5, 1.2), loc="left", fontweight="bold", pad=10)
    axes.annotate(note, (0, 0), (0, -8), "axes fraction", "offset points", va="top", color=MUTED, fontsize=8)
    return encoded(drawn)


def _room(n_cols: int) -> float:
    """Return how wide a cell is, in inches."""
    width = page_width()
    return _CELL[0] if width is None else min(_CELL[0], (width - _NAMES) / (n_cols + 0.3))


@dataclass(frozen=True)
class _Look:
    """How numbers are written."""

    bold: bool
    size: float
    whole: bool


def _number(
    axes: Any,
    mesh: Any,
    place: tuple[float, int],
    value: float,
    incomplete: bool,
    below: tuple[float, float] | None,
    look: _Look,
) -> None:
    size = 1.4 * look.size if look.whole else look.size
    font: dict[str, Any] = {
        "ha": "center", "va": "center", "fontsize": size, "fontweight": "bold" if look.bold else "normal"
    }  # fmt: skip
    if np.isnan(value):
        axes.text(*place, "–", color=MUTED, **font)
        return
    text = f"{100 * value:.{0 if look.whole else 1}f}{'*' if incomplete else ''}"
    ink = INK if _luminance(mesh.cmap(mesh.norm(value))) > _SWITCH else "white"
    x, y = place
    axes.text(x, y if below is None else y - 0.17, text, color=ink, **font)
    if below is not None:
        low, high = (100 * end for end in below)
        axes.text(x, y + 0.24, f"{low:.1f}–{high:.1f}", color=ink, ha="center", va="center", fontsize=6)


def _luminance(colour: tuple[float, float, float, float]) -> float:
    """Return the relative luminance of an sRGB colour, as contrast ratios are computed from."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
