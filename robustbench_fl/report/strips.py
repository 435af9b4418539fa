"""Reconstruction errors or iterations of honest and malicious clients over rounds, as strips of dots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from robustbench_fl.report.canvas import INK, encoded, style
from robustbench_fl.report.multiples import Multiples, remark
from robustbench_fl.report.seeds import seeds_text

_MOST_GROUPS = 10
"""Rounds beyond so many are put together."""
_GOLDEN = 0.6180339887498949
_SPREAD = 0.32
_MOST_DOTS = 400
"""Dots of a strip; more are thinned, all but the largest."""
_LARGEST = 30
_NONE = 0.7
"""Where no iteration at all is drawn on the logarithmic axis."""
_TOP = 1.5
"""Errors above are drawn at the edge."""


@dataclass(frozen=True)
class Look:
    """How one kind of clients is drawn."""

    name: str
    marker: str
    fill: str
    edge: str
    shift: float


_LOOKS = {
    False: Look("honest", "o", "#9fd0ee", "#0072B2", -0.21),
    True: Look("malicious", "^", "#D55E00", "#7a3300", 0.21),
}


def error_strips(title: str, cells: pd.DataFrame, found: pd.DataFrame, threshold: float) -> bytes:
    """Return the figure of reconstruction errors over rounds, one small plot an attack.

    Parameters
    ----------
    title : str
        Rule and block.
    cells : pandas.DataFrame
        The rule's cells in the block, as from :func:`robustbench_fl.analysis.frame.frame`.
    found : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.reconstruction.client_rounds`.
    threshold : float
        Where the rule rejects; NaN if it is not known.
    """
    lowest = min(float(found["error"].min()), np.inf if np.isnan(threshold) else threshold)
    bottom = max(0.0, np.floor(10 * lowest - 0.5) / 10)
    top = max(1.1, min(_TOP, float(found["error"].replace(np.inf, _TOP).max()) * 1.08))
    values = found.assign(value=found["error"].clip(upper=top * 0.985), over=found["error"] > top)
    note = "reconstruction error of every client that was judged; bars are medians"
    if values["over"].any():
        note += f"; above {top:.2g} drawn at the edge"
    with style():
        drawn, seen = _strips(title, note, cells, values, log=False)
        for axes in drawn.axes.values():
            axes.set_ylim(bottom, top)
            if not np.isnan(threshold):
                axes.axhline(threshold, color=INK, linewidth=1, linestyle=(0, (4, 2)), zorder=1)
        drawn.label(_round_label(found), "reconstruction error")
        handles = [_handle(next(iter(drawn.axes.values())), _LOOKS[kind]) for kind in seen]
        names = [_LOOKS[kind].name for kind in seen]
        if not np.isnan(threshold):
            line = next(iter(drawn.axes.values())).plot([], [], color=INK, linewidth=1, linestyle=(0, (4, 2)))
            handles, names = [*handles, line[0]], [*names, f"threshold {threshold:g}"]
        drawn.legend(handles, names)
        return encoded(drawn.figure)


def iteration_strips(title: str, cells: pd.DataFrame, found: pd.DataFrame) -> bytes:
    """Return the figure of iterations over rounds; parameters as for :func:`error_strips`."""
    values = found.assign(value=found["iterations"].clip(lower=_NONE), over=False)
    top = float(values["value"].max())
    with style():
        note = "iterations of the reconstruction of every client that was judged; bars are medians"
        if (found["iterations"] == 0).any():
            note += "; zero updates, which take none, at the lower edge"
        drawn, seen = _strips(title, note, cells, values, log=True)
        for axes in drawn.axes.values():
            axes.set_yscale("log")
            axes.set_ylim(_NONE * 0.95, max(10.0, top) * 1.25)
            axes.yaxis.set_major_locator(FixedLocator([1, 3, 10, 30, 100, 300, 1000, 3000]))
            axes.yaxis.set_major_formatter(ScalarFormatter())
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(which="minor", length=0)
        drawn.label(_round_label(found), "iterations")
        drawn.legend(
            [_handle(next(iter(drawn.axes.values())), _LOOKS[kind]) for kind in seen],
            [_LOOKS[kind].name for kind in seen],
        )
        return encoded(drawn.figure)


def _strips(
    title: str, note: str, cells: pd.DataFrame, values: pd.DataFrame, *, log: bool
) -> tuple[Multiples, list[bool]]:
    """Draw everything but the scale; return the figure and which kinds of clients it shows."""
    data = values.merge(cells[["key", "aggregator", "attack", "seed"]], on="key")
    rounds = np.sort(data["round"].unique())
    size = int(np.ceil(rounds.max() / _MOST_GROUPS)) if rounds.max() > _MOST_GROUPS + 5 else 1
    data = data.assign(group=(data["round"] - 1) // size)
    drawn = Multiples(data["attack"], title, f"{note}; {seeds_text(data)}", (3.3, 2.1))
    for attack, part in data.groupby("attack"):
        axes = drawn.axes[str(attack)]
        for (_, kind), dots in part.groupby(["group", "malicious"]):
            _strip(axes, dots, _LOOKS[bool(kind)], log)
        remark(axes, _caught(cells[cells["attack"] == attack]))
        axes.grid(True, axis="y")
        axes.set_axisbelow(True)
        groups = np.arange(int(data["group"].max()) + 1)
        axes.set_xlim(-0.6, groups[-1] + 0.6)
        axes.set_xticks(*_ticks(groups, size, int(rounds.max())))
        axes.tick_params(axis="x", length=0)
    drawn.head()
    return drawn, sorted(set(data["malicious"]))


def _strip(axes: Any, dots: pd.DataFrame, look: Look, log: bool) -> None:
    """Draw one strip: dots spread the wider the more there are of their value, and a bar at the median."""
    values = _thinned(dots["value"].to_numpy(dtype=float))
    centre = float(dots["group"].iloc[0]) + look.shift
    places = centre + _spread(np.log(values) if log else values)
    crowd = float(np.clip(30 / len(values), 0.25, 1))
    axes.scatter(
        places, values, s=4 + 7 * crowd, marker=look.marker, facecolor=look.fill,
        edgecolor=look.edge, linewidth=0.4, alpha=0.35 + 0.5 * crowd, zorder=2, clip_on=False,
    )  # fmt: skip
    median = float(dots["value"].median())
    half = _SPREAD / 2 + 0.05
    axes.plot([centre - half, centre + half], [median] * 2, color="white", linewidth=3, zorder=3)
    axes.plot([centre - half, centre + half], [median] * 2, color=look.edge, linewidth=1.6, zorder=4)


def _thinned(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `values` in order; of too many the largest, which decide, and every k-th of the others."""
    ordered = np.sort(values)
    step = max(1, int(np.ceil(len(ordered) / _MOST_DOTS)))
    return np.concatenate([ordered[:-_LARGEST:step], ordered[-_LARGEST:]])


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each dot stands from the middle of its strip, always the same for the same values."""
    counts, edges = np.histogram(values, bins=min(20, len(values)))
    of_dot = counts[np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(counts) - 1)]
    width = np.maximum(of_dot / counts.max(), 0.15)
    steps: NDArray[np.float64] = ((np.arange(len(values)) + 1) * _GOLDEN % 1 - 0.5) * _SPREAD * width
    return steps


def _handle(axes: Any, look: Look) -> Any:
    return axes.scatter([], [], s=22, marker=look.marker, facecolor=look.fill, edgecolor=look.edge)


def _ticks(groups: Any, size: int, last: int) -> tuple[list[int], list[str]]:
    if size == 1:
        step = 1 if len(groups) <= 8 else 2
        return [int(g) for g in groups[::step]], [str(int(g) + 1) for g in groups[::step]]
    step = 1 if len(groups) <= 5 else 2
    return [int(g) for g in groups[::step]], [
        f"{int(g) * size + 1}–{min((int(g) + 1) * size, last)}" for g in groups[::step]
    ]


def _round_label(found: pd.DataFrame) -> str:
    return "round" if found["round"].max() <= _MOST_GROUPS + 5 else "rounds"


def _caught(cells: pd.DataFrame) -> str:
    """Return the cumulative rates of the verdicts in words."""
    tpr, fpr = cells["tpr"].mean(), cells["fpr"].mean()
    parts = [] if np.isnan(tpr) else [f"TPR {100 * tpr:.3g} %"]
    parts += [] if np.isnan(fpr) else [f"FPR {100 * fpr:.2g} %"]
    return ", ".join(parts)
