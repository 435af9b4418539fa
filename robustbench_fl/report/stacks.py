"""Who holds how much of what: a stacked bar of classes for every client."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from numpy.typing import NDArray

from robustbench_fl.report.canvas import INK, MUTED, encoded, figure, style

_WIDEST = 12.0
_NUMBERED = 12
"""Up to so many classes are named in the bars and in a legend; more get a colour bar."""
_SMALLEST = 0.045
"""Share of the axis below which a piece of a bar holds no number."""


def class_stacks(title: str, note: str, counts: NDArray[np.int64]) -> bytes:
    """Return the figure of a partition, encoded.

    Classes are stacked in order. Their colours grow steadily lighter, so that they keep apart in
    grey and for every eye; where there is room, a piece bears the number of its class.

    Parameters
    ----------
    title, note : str
        What is drawn, and a line below it.
    counts : int array [n_clients, n_classes]
        Samples of each class at each client.
    """
    n_clients, n_classes = counts.shape
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 1, n_classes))
    with style():
        width = float(np.clip(1.2 + 0.26 * n_clients, 4.5, _WIDEST))
        drawn = figure(width, 3.4)
        axes = drawn.add_axes((0, 0, 1, 1))
        places, bottom = np.arange(n_clients), np.zeros(n_clients)
        top = float(counts.sum(axis=1).max())
        room = _WIDEST / n_clients > 0.24
        for c in range(n_classes):
            some = counts[:, c] > 0
            axes.bar(
                places[some], counts[some, c], 0.86, bottom=bottom[some], color=colours[c],
                edgecolor="white", linewidth=0.5 if room else 0.15, label=str(c),
            )  # fmt: skip
            if room and n_classes <= _NUMBERED:
                _number(axes, c, counts[:, c], bottom, top, colours[c])
            bottom += counts[:, c]
        _frame(axes, n_clients, top)
        _key(drawn, axes, colours)
        axes.set_title(title, loc="left", fontweight="bold", pad=22)
        axes.annotate(note, (0, 1), (0, 8), "axes fraction", "offset points", color=MUTED, fontsize=8.5)
        return encoded(drawn)


def _number(axes: Any, c: int, held: NDArray[np.int64], bottom: Any, top: float, colour: Any) -> None:
    light = colour[:3] @ np.array([0.299, 0.587, 0.114]) > 0.5
    for client in np.flatnonzero(held > _SMALLEST * top):
        axes.text(
            client, bottom[client] + held[client] / 2, str(c), ha="center", va="center", fontsize=6.5,
            color=INK if light else "white",
        )  # fmt: skip


def _frame(axes: Any, n_clients: int, top: float) -> None:
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if n_clients / s <= 26)
    axes.set_xticks(np.arange(0, n_clients, step))
    axes.set_xlim(-0.7, n_clients - 0.3)
    axes.set_ylim(0, 1.03 * top)
    axes.set_xlabel("client")
    axes.set_ylabel("samples")
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", length=0)


def _key(drawn: Any, axes: Any, colours: Any) -> None:
    """Say which colour is which class, the last one on top as in the bars."""
    n = len(colours)
    if n <= _NUMBERED:
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(
            handles[::-1], labels[::-1], title="class", loc="upper left", bbox_to_anchor=(1.01, 1.0),
            frameon=False, borderaxespad=0.0, handlelength=1.0, handleheight=1.0,
        )  # fmt: skip
        return
    scale = matplotlib.cm.ScalarMappable(BoundaryNorm(np.arange(n + 1) - 0.5, n), ListedColormap(colours))
    bar = drawn.colorbar(scale, ax=axes, pad=0.015, fraction=0.03, label="class")
    bar.set_ticks(np.unique(np.linspace(0, n - 1, 6).round().astype(int)))
    bar.minorticks_off()
    bar.outline.set_visible(False)
