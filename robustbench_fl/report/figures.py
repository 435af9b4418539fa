"""All figures of a sweep's folder, each in the format that is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from robustbench_fl.analysis.curves import attack_ends, curves
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import Leaderboard, leaderboard
from robustbench_fl.core.files import write_atomically
from robustbench_fl.report.bars import worst_bars
from robustbench_fl.report.canvas import FORMATS, Format, written_as
from robustbench_fl.report.diagnostics import KINDS, diagnostics
from robustbench_fl.report.heatmap import heatmap
from robustbench_fl.report.learning import learning_curves
from robustbench_fl.report.panels import Panel, panels
from robustbench_fl.report.profile import performance_profile

FOLDER = "figures"
_PATTERNS = ("heatmap-*", "curves-*", "success-*", "worst", "profile")
Drawn = Iterator[tuple[str, bytes]]
"""Names without a suffix, and contents."""


def sweep_figures(records: Sequence[Mapping[str, Any]], shown: Sequence[Panel], board: Leaderboard) -> Drawn:
    """Yield what every sweep draws at its end: heat maps, accuracy curves, worst-case bars."""
    lines, ends = curves(records), attack_ends(records)
    for panel in shown:
        if panel.cells["accuracy"].notna().any():
            yield f"heatmap-{panel.name}", heatmap(panel)
        if drawn := learning_curves(panel, lines, ends=ends):
            yield f"curves-{panel.name}", drawn
    if drawn := worst_bars(board):
        yield "worst", drawn


def further_figures(
    records: Sequence[Mapping[str, Any]], shown: Sequence[Panel], table: pd.DataFrame
) -> Drawn:
    """Yield attack success over rounds, a figure a block, and the performance profiles."""
    lines, ends = curves(records), attack_ends(records)
    for panel in shown:
        if drawn := learning_curves(panel, lines, "attack_success", ends):
            yield f"success-{panel.name}", drawn
    if drawn := performance_profile(table):
        yield "profile", drawn


def write_figures(
    records: Iterable[Mapping[str, Any]], folder: str | os.PathLike[str], format_: Format = "png"
) -> list[Path]:
    """Draw all figures of a sweep.

    Parameters
    ----------
    records : iterable of mappings
        Cell records as plain data.
    folder : path
        Where ``figures/heatmap-*``, ``curves-*``, ``success-*``, ``worst``, ``profile`` and those of
        detectors (:func:`robustbench_fl.report.diagnostics.diagnostics`) go; older ones of these
        names and this format are removed.
    format_ : {"png", "svg"}, optional

    Returns
    -------
    list of Path
        The files written; none without a finished cell.
    """
    kept = list(records)
    table = frame(kept)
    if table.empty:
        return []
    shown = list(panels(table))
    place, written = Path(folder) / FOLDER, []
    with written_as(format_):
        parts = (
            sweep_figures(kept, shown, leaderboard(table)),
            further_figures(kept, shown, table),
            diagnostics(kept),
        )
        for part in parts:
            for name, data in part:
                write_atomically(place / f"{name}.{format_}", data)
                written.append(place / f"{name}.{format_}")
    remove_stale(place, _PATTERNS + tuple(f"{kind}-*" for kind in KINDS), written, (format_,))
    return written


def remove_stale(
    place: Path, patterns: Iterable[str], written: Iterable[Path], formats: Sequence[Format] = FORMATS
) -> None:
    """Remove the figures in `place` that match one of `patterns` and were not `written`, in any format."""
    names = {path.stem for path in written}
    for pattern in patterns:
        for format_ in formats:
            for path in place.glob(f"{pattern}.{format_}"):
                if path.stem not in names:
                    path.unlink()
