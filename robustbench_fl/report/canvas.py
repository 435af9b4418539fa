"""What all figures share: a plain style, colours for every eye, PNG or SVG without a time stamp."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 150
INK, MUTED, GRID = "#1a1a1a", "#6b6b6b", "#e3e3e3"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6A3D9A", "#8C564B")
"""Okabe and Ito's colours (yellow and black left out), then two that keep apart from them."""
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
MARKERS = "osD^vP*X"
Format = Literal["png", "svg"]
FORMATS: tuple[Format, ...] = ("png", "svg")
_FORMAT: ContextVar[Format] = ContextVar("format", default="png")
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "svg.hashsalt": "robustbench-fl",
}


@dataclass(frozen=True)
class Line:
    """How one rule is drawn: colour, dash and marker."""

    color: str
    dash: str | tuple[float, tuple[float, ...]]
    marker: str
    width: float = 1.5


def lines(rules: list[str]) -> dict[str, Line]:
    """Return how each rule is drawn; the baselines ``mean`` and ``oracle_mean`` stand out."""
    fixed = {
        "mean": Line(MUTED, (0, (2, 1)), "", 2.6),
        "oracle_mean": Line(INK, "-", "", 2.6),
    }
    others = [rule for rule in rules if rule not in fixed]
    drawn = {
        rule: Line(
            COLOURS[i % len(COLOURS)],
            DASHES[(i + i // len(COLOURS)) % len(DASHES)],
            MARKERS[(i + 3 * (i // len(COLOURS))) % len(MARKERS)],
        )
        for i, rule in enumerate(others)
    }
    return {rule: fixed.get(rule) or drawn[rule] for rule in rules}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the same style whatever the user's settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` × `height` inches that no global state knows of."""
    drawn = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(drawn)
    return drawn


@contextmanager
def written_as(format_: Format) -> Iterator[None]:
    """Encode every figure drawn inside as `format_` (``"png"`` outside)."""
    token = _FORMAT.set(format_)
    try:
        yield
    finally:
        _FORMAT.reset(token)


def encoded(drawn: Figure) -> bytes:
    """Return the figure as PNG, or as :func:`written_as` says: the same bytes for the same figure."""
    buffer, format_ = io.BytesIO(), _FORMAT.get()
    unknown = {"Software": None} if format_ == "png" else {"Date": None, "Creator": None}
    drawn.savefig(buffer, format=format_, metadata=unknown, bbox_inches="tight", pad_inches=0.15)
    return buffer.getvalue()
