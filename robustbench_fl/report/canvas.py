"""What all figures share: a plain style, colours for every eye, PNG, SVG or PDF without a time stamp."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from robustbench_fl.core.foreign import in_figure

DPI = 150
INK, MUTED, GRID = "#1a1a1a", "#6b6b6b", "#e3e3e3"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6A3D9A", "#8C564B")
"""Okabe and Ito's colours (yellow and black left out), then two that keep apart from them."""
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
MARKERS = "osD^vP*X"
Format = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = ("png", "svg", "pdf")
WIDTHS = {"one": 3.4, "two": 7.0}
"""Widths of one and of two columns of a paper, in inches."""
_FORMAT: ContextVar[Format] = ContextVar("format", default="png")
_WIDTH: ContextVar[float | None] = ContextVar("width", default=None)
_PAD, _THIN_PAD = 0.15, 0.02
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
    "text.parse_math": False,  # a dollar in a label is a dollar
    "svg.hashsalt": "robustbench-fl",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
_SMALLER = {"font.size": 8, "axes.titlesize": 8.5, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5}
"""For a figure of a page's width, which is not made smaller there."""


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
        matplotlib.rcParams.update(_STYLE if page_width() is None else _STYLE | _SMALLER)
        yield


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of `width` × `height` inches that no global state knows of."""
    drawn = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(drawn)
    return drawn


@contextmanager
def written_as(format_: Format, width: float | None = None) -> Iterator[None]:
    """Encode every figure drawn inside as `format_` (``"png"`` outside), `width` inches wide."""
    tokens = _FORMAT.set(format_), _WIDTH.set(width)
    try:
        yield
    finally:
        _FORMAT.reset(tokens[0])
        _WIDTH.reset(tokens[1])


def page_width() -> float | None:
    """Return how wide figures are to be, in inches; None if they may be as wide as they need."""
    return _WIDTH.get()


def wrapped(text: str, points: float = 9.0, beside: float = 0.0) -> str:
    """Return `text` in lines that fit the page's width less `beside` inches, if there is one."""
    width = page_width()
    if width is None:
        return text
    return textwrap.fill(text, max(int((width - beside) * 72 / (0.58 * points)), 16))


def legend(drawn: Figure, handles: list[Any], names: list[str], title: str | None = None) -> None:
    """Put one legend to the right of all plots, or below them where the page's width is given."""
    width = page_width()
    if width is None:
        place, columns = (1 + 0.1 / drawn.get_figwidth(), 1.0), 1
    else:
        place = (0.0, -0.55 / drawn.get_figheight())
        columns = max(int(width / (0.75 + 0.07 * max(map(len, names)))), 1)
    drawn.legend(
        handles, names, loc="upper left", bbox_to_anchor=place, frameon=False, borderaxespad=0.0,
        handlelength=3.0, title=title, alignment="left", ncols=columns, columnspacing=1.2,
        fontsize=None if width is None else 7.5,
    )  # fmt: skip


def encoded(drawn: Figure) -> bytes:
    """Return the figure in the format of :func:`written_as`: the same bytes for the same figure."""
    for text in drawn.findobj(Text):
        if (shown := in_figure(text.get_text())) != text.get_text():
            text.set_text(shown)
    buffer, format_, width = io.BytesIO(), _FORMAT.get(), page_width()
    unknown = _NO_ORIGIN[format_]
    for _ in range(3 if width is not None else 0):
        _fit(drawn, width)
    pad = _PAD if width is None else _THIN_PAD
    drawn.savefig(buffer, format=format_, metadata=unknown, bbox_inches="tight", pad_inches=pad)
    return buffer.getvalue()


_NO_ORIGIN: dict[Format, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def _fit(drawn: Figure, width: float | None) -> None:
    """Make the plots so wide that, with all that stands beside them, the figure has the page's width."""
    assert width is not None
    whole = drawn.get_tightbbox(drawn.canvas.get_renderer()).width + 2 * _THIN_PAD  # type: ignore[attr-defined]
    drawn.set_figwidth(max(drawn.get_figwidth() + width - whole, 0.3 * width))
