"""Performance profiles drawn: the share of settings within δ of the best, one line a rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from robustbench_fl.analysis.captions import families_of_several
from robustbench_fl.analysis.profile import gaps, share_within
from robustbench_fl.report.canvas import MUTED, encoded, figure, legend, lines, style, wrapped
from robustbench_fl.report.seeds import seeds_text

MOST_RULES = 12
"""Rules beyond so many are drawn in grey."""
_WIDEST = 50.0


def performance_profile(cells: pd.DataFrame) -> bytes | None:
    """Return the figure of all rules' profiles, or None if fewer than two rules can be compared.

    Parameters
    ----------
    cells : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`.

    Notes
    -----
    The legend is in the order of the area under the lines. A setting in which a rule has no whole
    result counts as never reached.
    """
    table = gaps(cells)
    if table.shape[1] < 2:
        return None
    finite = 100 * table.to_numpy()[np.isfinite(table.to_numpy())]
    top = float(np.clip(np.ceil(finite.max() / 5) * 5, 5, _WIDEST))
    deltas = np.linspace(0, top / 100, 501)
    shares = {rule: share_within(table[rule], deltas) for rule in table}
    rules = sorted(shares, key=lambda rule: (-shares[rule].mean(), rule))
    looks = lines(rules)
    with style():
        drawn = figure(5.6, 3.6)
        axes = drawn.add_axes((0, 0, 1, 1))
        for place, rule in enumerate(rules):
            named = place < MOST_RULES
            _line(axes, deltas, shares[rule], looks[rule] if named else None, rule if named else None, place)
        if len(rules) > MOST_RULES:
            axes.plot([], [], color="#bdbdbd", linewidth=0.8, label=f"{len(rules) - MOST_RULES} other rules")
        axes.set(xlim=(0, top), ylim=(0, 101.5))
        axes.set_xlabel(wrapped("δ: points of accuracy below the best rule of the setting", 8, 0.6))
        axes.set_ylabel("settings within δ of the best, %")
        axes.grid(True)
        axes.set_axisbelow(True)
        legend(drawn, *axes.get_legend_handles_labels(), title="largest area first")
        note = wrapped(
            f"{len(table)} settings (block and attack{_of_a_family(cells)}), {_runs(cells)}; "
            "no result counts as never reached",
            8,
            0.6,
        )
        axes.set_title(
            "Performance profiles", loc="left", fontweight="bold", pad=8 + 12 * len(note.splitlines())
        )
        axes.annotate(note, (0, 1), (0, 6), "axes fraction", "offset points", color=MUTED, fontsize=8)
        return encoded(drawn)


def _line(axes: Any, deltas: Any, share: Any, look: Any, label: str | None, place: int) -> None:
    if look is None:
        axes.plot(100 * deltas, 100 * share, color="#bdbdbd", linewidth=0.8, zorder=1)
        return
    axes.plot(
        100 * deltas, 100 * share, color=look.color, linestyle=look.dash, linewidth=look.width, label=label,
        drawstyle="steps-post", zorder=2, markevery=(17 * (place % 7) + 20, 110),
        marker=look.marker, markersize=4.5, markeredgecolor="white", markeredgewidth=0.5,
    )  # fmt: skip


def _of_a_family(cells: pd.DataFrame) -> str:
    return ", of a family the member worst for the rule" if families_of_several(cells) else ""


def _runs(cells: pd.DataFrame) -> str:
    seeds = seeds_text(cells)
    return seeds if seeds == "n=1" else f"means over {seeds}"
