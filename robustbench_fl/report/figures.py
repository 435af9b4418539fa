"""All figures of a sweep's folder, each in the format that is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from robustbench_fl.analysis.curves import attack_ends, curves
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import Leaderboard, leaderboard
from robustbench_fl.report.bars import worst_bars
from robustbench_fl.report.canvas import Format, written_as
from robustbench_fl.report.diagnostics import KINDS, diagnostics
from robustbench_fl.report.heatmap import heatmap
from robustbench_fl.report.learning import learning_curves
from robustbench_fl.report.panels import Panel, panels
from robustbench_fl.report.profile import performance_profile
from robustbench_fl.report.written import Written

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
    records: Iterable[Mapping[str, Any]],
    folder: str | os.PathLike[str],
    format_: Format = "png",
    title: str | None = None,
    width: float | None = None,
) -> list[Path]:
    """Draw all figures of a sweep.

    Parameters
    ----------
    records : iterable of mappings
        Cell records as plain data.
    folder : path
        Where ``figures/heatmap-*``, ``curves-*``, ``success-*``, ``worst``, ``profile`` and those of
        detectors (:func:`robustbench_fl.report.diagnostics.diagnostics`) go; older ones of these
        names and this format are removed if they were written here.
    format_ : {"png", "svg", "pdf"}, optional
    title : str, optional
        Stands in titles where the data set would.
    width : float, optional
        Of every figure, in inches; by default as wide as it needs.

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
    if title is not None:
        shown = [
            replace(panel, title=f"{title}, {panel.setting}" if title else panel.setting) for panel in shown
        ]
    written, paths = Written(Path(folder)), {}
    with written_as(format_, width):
        parts = (
            sweep_figures(kept, shown, leaderboard(table)),
            further_figures(kept, shown, table),
            diagnostics(kept, shown),
        )
        for part in parts:
            for name, data in part:
                file = f"{FOLDER}/{name}.{format_}"
                paths[file] = written.write(file, data)
    names = _PATTERNS + tuple(f"{kind}-*" for kind in KINDS)
    written.remove_others([f"{FOLDER}/{name}.{format_}" for name in names], paths)
    written.save()
    return list(paths.values())
