"""Small multiples: one plot an attack, on shared axes, under one title."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from matplotlib.figure import Figure

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.report.canvas import MUTED, figure, legend, page_width, wrapped


class Multiples:
    """A figure with one small plot for each attack, the clean one first.

    Parameters
    ----------
    attacks : iterable of str
        Their names, in any order.
    title, note : str
        Above all plots, in bold and in grey.
    size : tuple of float
        Width and height of one plot in inches.

    Attributes
    ----------
    figure : Figure
        The whole.
    axes : dict of str to Axes
        The plot of each attack.
    """

    def __init__(self, attacks: Any, title: str, note: str, size: tuple[float, float] = (2.7, 2.1)) -> None:
        names = sorted(set(attacks), key=lambda name: (name != CLEAN, name))
        n_cols = columns_for(len(names), size[0])
        n_rows = math.ceil(len(names) / n_cols)
        self.figure: Figure = figure(size[0] * n_cols, size[1] * n_rows)
        self._height = size[1] * n_rows
        self._title, self._note = title, note
        self._grid = self.figure.subplots(n_rows, n_cols, sharex=True, sharey=True, squeeze=False)
        self.figure.subplots_adjust(0, 0, 1, 1, wspace=0.1, hspace=0.3)
        places = list(self._grid.flat)
        for unused in places[len(names) :]:
            unused.set_visible(False)
        self.axes: dict[str, Any] = dict(zip(names, places, strict=False))
        # Where no plot stands below, the axis needs its own numbers.
        self._lowest = places[max(0, len(names) - n_cols) : len(names)]
        for name, axes in self.axes.items():
            title = shown(name, int(14 * size[0]))
            axes.set_title(title, loc="left", fontsize=9 if len(title) < 22 else 7.5, pad=4)
            axes.tick_params(length=2)

    def label(self, x: str, y: str) -> None:
        """Name the axes where they are outermost."""
        for axes in self._lowest:
            axes.set_xlabel(x)
            axes.tick_params(labelbottom=True)
        for axes in self._grid[:, 0]:
            axes.set_ylabel(y)

    def legend(self, handles: list[Any], names: list[str], title: str | None = None) -> None:
        """Put one legend beside or below all plots."""
        legend(self.figure, handles, names, title)

    def head(self) -> None:
        """Write title and note."""
        head(self.figure, self._title, self._note)


def head(drawn: Figure, title: str, note: str, beside: float = 0.0) -> None:
    """Write a title and a note above all plots, which have `beside` inches of names to their left."""
    height, note = drawn.get_figheight(), wrapped(note, 8, beside)
    top = 1 + 0.42 / height
    above = top + (0.04 + 0.13 * len(note.splitlines())) / height
    drawn.text(0, above, wrapped(title, 11.5, beside), fontsize=10, fontweight="bold", va="bottom")
    drawn.text(0, top, note, fontsize=8, color=MUTED, va="bottom")


def columns_for(plots: int, width: float) -> int:
    """Return how many small plots, `width` inches wide where there is room, stand side by side."""
    page = page_width()
    most = 4 if page is None else min(4, max(1, int(page / (0.6 * width))))
    return min(most, max(2, math.ceil(math.sqrt(plots)))) if plots > 1 else 1


def shown(attack: str, width: int = 34) -> str:
    """Return an attack's name as a title: in several lines if it is long.

    Examples
    --------
    >>> shown("none"), shown("alie(z=1.5)"), shown("min_max(knows=all, search=paper)", 20)
    ('none (clean)', 'alie(z=1.5)', 'min_max(knows=all,\\nsearch=paper)')
    """
    return "none (clean)" if attack == CLEAN else textwrap.fill(attack, width, break_long_words=False)


def remark(axes: Any, text: str) -> None:
    """Write a short remark in grey at the right end of a small plot's title line."""
    axes.annotate(
        text, (1, 1), (0, 4), "axes fraction", "offset points", ha="right", va="bottom",
        color=MUTED, fontsize=7.5,
    )  # fmt: skip
