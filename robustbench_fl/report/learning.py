"""Accuracy or attack success over rounds: one small plot an attack, one line a rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.spread import bands
from robustbench_fl.report.canvas import GRID, INK, MUTED, Line, encoded, figure, legend, lines, style
from robustbench_fl.report.multiples import columns_for, head
from robustbench_fl.report.panels import Panel
from robustbench_fl.report.seeds import seeds_text

MAX_LINES = 10
"""Rules beyond so many are drawn as thin grey lines without a name."""
_BASELINES = {"oracle_mean": "oracle_mean (baseline)", "mean": "mean (no defence)"}
_OTHER, _OTHERS = Line("#bdbdbd", "-", "", 0.8), "other rules"
_BAND = 0.14
_ROW, _COLUMN = 2.1, 2.7
_NO_ENDS: Mapping[str, int] = MappingProxyType({})


def learning_curves(
    panel: Panel, curves: pd.DataFrame, value: str = "accuracy", ends: Mapping[str, int] = _NO_ENDS
) -> bytes | None:
    """Return the figure of a block's curves over rounds, or None if no cell has one.

    Parameters
    ----------
    panel : Panel
        The block.
    curves : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.curves.curves`.
    value : {"accuracy", "attack_success"}, optional
        What is drawn; attacks without such a value are left out.
    ends : mapping of str to int, optional
        As from :func:`robustbench_fl.analysis.curves.attack_ends`: a dotted line marks where these
        attacks end.

    Notes
    -----
    Means over seeds; the bands of the named rules go from the lowest to the highest seed. The
    legend is sorted by the final value under the worst attack, the best rule first; the baseline
    and plain averaging come last.
    """
    known = panel.cells[["key", "aggregator", "attack", "seed", "adaptive", value]]
    data = curves.merge(known, on="key", suffixes=("", "_final")).dropna(subset=[value])
    if data.empty:
        return None
    rules = _by_worst(data, f"{value}_final", 1 if value == "accuracy" else -1)
    attacks = sorted(data["attack"].unique(), key=lambda name: (name != CLEAN, name))
    seeds = seeds_text(data)  # of what is drawn, which may not be all that is planned
    suffix = seeds if seeds == "n=1" else f"mean over {seeds}, bands from the lowest to the highest"
    label = value.replace("_", " ")
    with style():
        note = f"{label} on the test split, {suffix}"
        return _draw(bands(data, value), attacks, rules, panel.title, note, label, ends)


def _by_worst(data: pd.DataFrame, final: str, sign: int) -> list[str]:
    hurt = data[(data["attack"] != CLEAN) & ~data["adaptive"]]
    scores = sign * (hurt if len(hurt) else data).groupby(["aggregator", "attack"])[final].mean()
    worst = scores.groupby("aggregator").min()
    ordered = sorted(worst.index, key=lambda rule: (-worst[rule], rule))
    found = [*ordered, *sorted(set(data["aggregator"]) - set(ordered))]
    return [*(rule for rule in _BASELINES if rule in found), *(
        rule for rule in found if rule not in _BASELINES
    )]  # fmt: skip


def _draw(
    means: pd.DataFrame, attacks: list[str], rules: list[str], title: str, note: str, label: str,
    ends: Mapping[str, int],
) -> bytes:  # fmt: skip
    n_cols = columns_for(len(attacks), _COLUMN)
    n_rows = math.ceil(len(attacks) / n_cols)
    width, height = _COLUMN * n_cols, _ROW * n_rows
    drawn = figure(width, height)
    grid = drawn.subplots(n_rows, n_cols, sharex=True, sharey=True, squeeze=False)
    drawn.subplots_adjust(0, 0, 1, 1, wspace=0.1, hspace=0.28)
    handles: dict[str, Any] = {}
    for place, axes in enumerate(grid.flat):
        if place >= len(attacks):
            axes.set_visible(False)
            continue
        rows = means[means["attack"] == attacks[place]]
        handles = _plot(axes, rows, rules) | handles
        if attacks[place] in ends:
            # Where curves seldom are: below high accuracies, between success and failure.
            _mark_end(axes, ends[attacks[place]], 0.02 if label == "accuracy" else 0.5)
        axes.set_title(
            attacks[place] if attacks[place] != CLEAN else "none (clean)", loc="left", fontsize=9, pad=4
        )
        if place + n_cols >= len(attacks):
            axes.set_xlabel("round")
            axes.tick_params(labelbottom=True)
    grid[0, 0].set_ylim(*_limits(means))
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{label}, %")
    _legend(drawn, handles, rules)
    head(drawn, title, note)
    return encoded(drawn)


def _limits(means: pd.DataFrame) -> tuple[float, float]:
    """Return where the axis ends: at tens around what is drawn, so that close curves stay apart."""
    low, high = (
        100 * float(means[["low", "mean"]].min().min()),
        100 * float(means[["high", "mean"]].max().max()),
    )
    return 10 * math.floor(low / 10) - 1, 10 * math.ceil(high / 10) + 1


def _plot(axes: Any, rows: pd.DataFrame, rules: list[str]) -> dict[str, Any]:
    """Draw one line a rule; return one handle for each name of the legend."""
    named, looks = set(rules[:MAX_LINES]), lines(rules)
    handles: dict[str, Any] = {}
    for rule, part in rows.groupby("aggregator"):
        look = looks[rule] if rule in named else _OTHER
        (handle,) = axes.plot(part["round"], 100 * part["mean"], color=look.color, linestyle=look.dash)
        handle.set(linewidth=look.width, markevery=_marks(len(part), rules.index(rule)))
        handle.set(marker=look.marker, markersize=4.5, markeredgecolor="white", markeredgewidth=0.5)
        handle.set_zorder(3 if rule in _BASELINES else 2 if rule in named else 1)
        if rule in named and (part["seeds"] > 1).any():
            axes.fill_between(part["round"], 100 * part["low"], 100 * part["high"], color=look.color,
                              alpha=_BAND, linewidth=0, zorder=1)  # fmt: skip
        handles.setdefault(rule if rule in named else _OTHERS, handle)
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(length=2)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.spines["left"].set_color(GRID)
    return handles


def _mark_end(axes: Any, stop: int, height: float) -> None:
    """Mark the last poisoned round: from there on the malicious clients are honest."""
    axes.axvline(stop, color=INK, linestyle=(0, (1, 2)), linewidth=1.0, zorder=4)
    axes.annotate("attack ends", (stop, height), (3, 0), ("data", "axes fraction"), "offset points",
                  color=MUTED, fontsize=7.5, va="bottom", zorder=5,
                  bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5})  # fmt: skip


def _legend(drawn: Figure, handles: dict[str, Any], rules: list[str]) -> None:
    """List the rules, the best worst case first, and apart from them what they are compared with."""
    shown = [name for name in rules[:MAX_LINES] if name in handles]
    compared = [name for name in shown if name in _BASELINES]
    order = [name for name in shown if name not in _BASELINES] + [_OTHERS] * (_OTHERS in handles)
    names = [*order, *(_BASELINES[name] for name in compared)]
    legend(drawn, [handles[name] for name in (*order, *compared)], names, "best worst case first")


def _marks(n_points: int, offset: int) -> tuple[int, int]:
    """Return where markers stand: a handful, shifted from rule to rule so that none hides another."""
    step = max(1, n_points // 5)
    return offset % step, step
