"""Honest clients that a detector lost for good: one dot a cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.report.canvas import GRID, Line, encoded, figure, legend, lines, style
from robustbench_fl.report.multiples import head, shown
from robustbench_fl.report.seeds import seeds_text

_ROW = 0.2
_MOST_RULES = 8


def lost_clients(title: str, cells: pd.DataFrame) -> bytes | None:
    """Return the figure of a block's losses, or None if no detector's cell is finished.

    Parameters
    ----------
    title : str
        The block.
    cells : pandas.DataFrame
        Its cells, as from :func:`robustbench_fl.analysis.frame.frame`: a client is lost if the
        rule rejected it the last time it took part.

    Notes
    -----
    One dot a cell, a tick at the mean over seeds; rules with the most losses come first, eight
    at most.
    """
    data = cells[cells["lost_clients"].notna() & (cells["honest_clients"] > 0)]
    if data.empty:
        return None
    data = data.assign(share=100 * data["lost_clients"] / data["honest_clients"])
    worst = data.groupby("aggregator")["share"].mean()
    rules = sorted(worst.index, key=lambda rule: (-worst[rule], rule))
    drawn_rules = rules[:_MOST_RULES]
    attacks = sorted(data["attack"].unique(), key=lambda name: (name != CLEAN, name))
    looks = lines(sorted(drawn_rules))
    with style():
        height = _ROW * len(attacks) * (len(drawn_rules) + 1) + 0.3
        drawn = figure(5.2, height)
        axes = drawn.add_axes((0, 0, 1, 1))
        handles = _dots(axes, data, attacks, drawn_rules, looks)
        _frame(axes, data, attacks, len(drawn_rules))
        head(drawn, title, _note(data, len(rules)), 0.9)
        legend(drawn, list(handles.values()), list(handles))
        return encoded(drawn)


def _dots(
    axes: Any, data: pd.DataFrame, attacks: list[str], rules: list[str], looks: dict[str, Line]
) -> dict[str, Any]:
    """Draw the dots of every attack and rule; return one handle a rule."""
    handles: dict[str, Any] = {}
    for i, attack in enumerate(attacks):
        for j, rule in enumerate(rules):
            values = data.loc[(data["attack"] == attack) & (data["aggregator"] == rule), "share"]
            if values.empty:
                continue
            y, look = i * (len(rules) + 1) + j, looks[rule]
            (handle,) = axes.plot(
                values, np.full(len(values), y), look.marker or "o", color=look.color, markersize=5.5,
                markeredgecolor="white", markeredgewidth=0.5, alpha=0.75, clip_on=False, zorder=3,
            )  # fmt: skip
            axes.plot([values.mean()] * 2, [y - 0.42, y + 0.42], color=look.color, linewidth=1.8, zorder=2)
            handles.setdefault(rule, handle)
    return {rule: handles[rule] for rule in rules if rule in handles}


def _frame(axes: Any, data: pd.DataFrame, attacks: list[str], n_rules: int) -> None:
    block = n_rules + 1
    for i in range(len(attacks) - 1):
        axes.axhline((i + 1) * block - 1, color=GRID, linewidth=0.8)
    axes.set_yticks([i * block + (n_rules - 1) / 2 for i in range(len(attacks))], map(shown, attacks))
    axes.set_ylim(len(attacks) * block - 1, -1)
    axes.set_xlim(0, max(10.0, 1.05 * float(data["share"].max())))
    axes.set_xlabel("honest clients lost for good, %")
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _note(cells: pd.DataFrame, n_rules: int) -> str:
    seeds = seeds_text(cells)
    text = "one dot a cell" + (f", ticks are means over {seeds}" if seeds != "n=1" else "")
    return text + (f"; {n_rules - _MOST_RULES} more rules not drawn" if n_rules > _MOST_RULES else "")
