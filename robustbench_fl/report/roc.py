"""ROC curves of the reconstruction test: one small plot an attack, one line a rule."""

from __future__ import annotations

from typing import Any

import pandas as pd

from robustbench_fl.analysis.reconstruction import area, roc
from robustbench_fl.report.canvas import GRID, MUTED, Line, encoded, lines, style
from robustbench_fl.report.multiples import Multiples

MOST_RULES = 8


def roc_curves(title: str, cells: pd.DataFrame, scored: pd.DataFrame) -> bytes | None:
    """Return the figure of a block's ROC curves, or None if no cell has both kinds of clients.

    Parameters
    ----------
    title : str
        The block.
    cells : pandas.DataFrame
        Its cells, as from :func:`robustbench_fl.analysis.frame.frame`.
    scored : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.reconstruction.suspicion`.

    Notes
    -----
    Clients of all seeds are put together. A marker shows where the rule itself stands: its
    cumulative verdicts. The first rules by name are drawn, eight at most.
    """
    data = scored.merge(cells[["key", "aggregator", "attack"]], on="key")
    both = data.groupby(["attack", "aggregator"])["malicious"].transform("nunique") == 2
    data = data[both]
    if data.empty:
        return None
    rules = sorted(data["aggregator"].unique())
    looks = lines(rules[:MOST_RULES])
    note = (
        "clients ranked by the iteration in which their error first is below the threshold, "
        "without early stop by their error at the end; markers: the rule's verdicts"
    )
    if len(rules) > MOST_RULES:
        note += f"; {len(rules) - MOST_RULES} more rules not drawn"
    with style():
        drawn = Multiples(data["attack"], title, note, (2.3, 2.3))
        handles: dict[str, Any] = {}
        for attack, part in data.groupby("attack"):
            axes = drawn.axes[str(attack)]
            axes.plot([0, 1], [0, 1], color=GRID, linewidth=1.2, zorder=1)
            here = [rule for rule in looks if (part["aggregator"] == rule).any()]
            for row, rule in enumerate(reversed(here)):
                # What is drawn first is wider, so that curves that coincide are all seen.
                extra = len(here) - 1 - row
                handles[rule] = _curve(axes, part[part["aggregator"] == rule], looks[rule], row, extra)
                own = cells[(cells["aggregator"] == rule) & (cells["attack"] == attack)]
                _verdict(axes, own, looks[rule], extra)
            place = 0.06 + 0.095 * len(here)
            axes.text(0.97, place, "area", ha="right", fontsize=7.5, color=MUTED, zorder=5)
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
            axes.set_xticks([0, 0.5, 1], ["0", "50", "100"])
            axes.set_yticks([0, 0.5, 1], ["0", "50", "100"])
        drawn.label("honest accused, %", "malicious accused, %")
        shown = [rule for rule in looks if rule in handles]
        drawn.legend([handles[rule] for rule in shown], shown)
        drawn.head()
        return encoded(drawn.figure)


def _curve(axes: Any, clients: pd.DataFrame, look: Line, row: int, extra: int) -> Any:
    """Draw one curve, write its area in row `row` from below, and return its handle."""
    fpr, tpr = roc(clients["score"].to_numpy(dtype=float), clients["malicious"].to_numpy(dtype=bool))
    axes.plot(
        fpr, tpr, color=look.color, linestyle=look.dash, linewidth=look.width + 1.1 * extra,
        alpha=0.6 if extra else 1, zorder=3, clip_on=False,
    )  # fmt: skip
    axes.text(
        0.97, 0.05 + 0.095 * row, f"{area(fpr, tpr):.2f}", ha="right", fontsize=8,
        color=look.color, fontweight="bold", zorder=5,
    )  # fmt: skip
    (handle,) = axes.plot(
        [], [], color=look.color, linestyle=look.dash, linewidth=look.width, marker=look.marker,
        markersize=5.5, markeredgecolor="white", markeredgewidth=0.6,
    )  # fmt: skip
    return handle


def _verdict(axes: Any, cells: pd.DataFrame, look: Line, extra: int) -> None:
    axes.plot(
        cells["fpr"].mean(), cells["tpr"].mean(), look.marker, color=look.color, markersize=6.5 + 3 * extra,
        markeredgecolor="white", markeredgewidth=0.8, zorder=4, clip_on=False,
    )  # fmt: skip
