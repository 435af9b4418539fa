"""A contact sheet of images: one row of frames a client, a caption under each frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustbench_fl.report.canvas import INK, MUTED, encoded, figure, style

_FRAME, _GAP, _CAPTION, _HEAD = 0.8, 0.1, 0.22, 0.34
_MOST_COLUMNS = 10


@dataclass(frozen=True)
class Row:
    """The images of one client.

    Parameters
    ----------
    title, note : str
        Above the frames, in bold and in grey.
    images : float array [b, channels, height, width]
        With one channel or three.
    captions : sequence of str
        One an image.
    colour : str
        Of the frames.
    """

    title: str
    note: str
    images: NDArray[Any]
    captions: Sequence[str]
    colour: str


def contact_sheet(title: str, note: str, rows: Sequence[Row]) -> bytes:
    """Return the figure of all rows.

    Brightness runs from the first to the 99th percentile of each client's images, so that a few
    extreme pixels do not hide the rest.

    Parameters
    ----------
    title, note : str
        Above everything.
    rows : sequence of Row
        From top to bottom; ten frames a line.
    """
    lines = [int(np.ceil(len(row.images) / _MOST_COLUMNS)) for row in rows]
    columns = min(_MOST_COLUMNS, max(len(row.images) for row in rows))
    width = columns * (_FRAME + _GAP) - _GAP
    height = sum(_HEAD + count * (_FRAME + _CAPTION) for count in lines) + 0.15 * (len(rows) - 1)
    with style():
        drawn = figure(width, height)
        top = height
        for row, count in zip(rows, lines, strict=True):
            _draw_row(drawn, row, top, (width, height))
            top -= _HEAD + count * (_FRAME + _CAPTION) + 0.15
        drawn.text(0, 1 + 0.36 / height, title, fontsize=10, fontweight="bold", va="bottom")
        drawn.text(0, 1 + 0.16 / height, note, fontsize=8, color=MUTED, va="bottom")
        return encoded(drawn)


def _draw_row(drawn: Any, row: Row, top: float, size: tuple[float, float]) -> None:
    """Draw one client's frames below the height `top`, in inches."""
    width, height = size
    name = drawn.text(0, (top - 0.14) / height, row.title, fontsize=9, fontweight="bold", va="center")
    name.set_color(row.colour)
    # The note follows the name, whose width is only known once it is drawn.
    extent = name.get_window_extent(drawn.canvas.get_renderer())
    after = extent.x1 / drawn.dpi / width + 0.1 / width
    drawn.text(after, (top - 0.14) / height, row.note, fontsize=8, color=MUTED, va="center")
    low, high = np.percentile(row.images, [1, 99])
    shades = np.clip((row.images - low) / max(high - low, 1e-12), 0, 1)
    for place, (image, caption) in enumerate(zip(shades, row.captions, strict=True)):
        line, column = divmod(place, _MOST_COLUMNS)
        left = column * (_FRAME + _GAP)
        bottom = top - _HEAD - line * (_FRAME + _CAPTION) - _FRAME
        axes = drawn.add_axes((left / width, bottom / height, _FRAME / width, _FRAME / height))
        if len(image) == 1:
            axes.imshow(image[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        else:
            axes.imshow(np.moveaxis(image, 0, -1), interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(visible=True, color=row.colour, linewidth=1)
        axes.annotate(
            caption, (0.5, 0), (0, -3), "axes fraction", "offset points", ha="center", va="top",
            fontsize=7.5, color=INK,
        )  # fmt: skip
