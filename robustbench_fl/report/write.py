"""The tables and figures of a sweep's folder, written anew from its cells."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from robustbench_fl.analysis.coverage import Missing
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.core.files import write_atomically
from robustbench_fl.report.contents import PATTERNS, contents
from robustbench_fl.report.panels import panels
from robustbench_fl.report.tables import render

FIGURES = "figures"
ALWAYS = ("md", "csv")
"""Formats that every table is written in."""
_EXTENSIONS = {"md": "md", "csv": "csv", "latex": "tex", "json": "json"}


def write_reports(
    records: Iterable[Mapping[str, Any]],
    folder: str | os.PathLike[str],
    missing: Missing = "exclude",
    figures: bool = True,
    also: Sequence[str] = (),
) -> list[Path]:
    """Write everything that is derived from cells.

    Parameters
    ----------
    records : iterable of mappings
        One record for every planned cell, as for :func:`robustbench_fl.analysis.frame.frame`.
    folder : path
        Where ``cells.csv``, the tables of :func:`robustbench_fl.report.contents.contents` and
        ``figures/*.png`` go. Tables and figures that are not written any more are removed; nothing
        else in the folder is touched.
    missing : {"exclude", "worst", "zero"}, optional
        Policy for rules that lack cells, as for
        :func:`robustbench_fl.analysis.leaderboard.leaderboard`.
    figures : bool, optional
        Whether to draw.
    also : sequence of {"latex", "json"}, optional
        Formats of the tables beside Markdown and CSV; their files end in ``.tex`` and ``.json``.

    Returns
    -------
    list of Path
        The files written; each appears whole or not at all. Without any record only an empty
        ``cells.csv`` is written.
    """
    kept = list(records)
    folder = Path(folder)
    written = []
    for name, data in _files(kept, missing, figures, (*ALWAYS, *also)):
        write_atomically(folder / name, data)
        written.append(folder / name)
    _remove_stale(folder, set(written), figures)
    return written


def _files(
    records: list[Mapping[str, Any]], missing: Missing, figures: bool, formats: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    table = frame(records)
    yield "cells.csv", _text(render(table, "csv"))
    if table.empty:
        return
    shown = list(panels(table))
    board = leaderboard(table, missing)
    for name, title, found in contents(table, board, shown, missing):
        for format_ in formats:
            head = f"# {title}\n\n" if title and format_ == "md" else ""
            yield f"{name}.{_EXTENSIONS[format_]}", _text(head + render(found, format_))
    if figures:
        from robustbench_fl.report.figures import sweep_figures

        for name, drawn in sweep_figures(records, shown, board):
            yield f"{FIGURES}/{name}.png", drawn


def _text(text: str) -> bytes:
    return f"{text}\n".encode()


def _remove_stale(folder: Path, written: set[Path], figures: bool) -> None:
    patterns = [f"{name}.{kind}" for name in PATTERNS for kind in _EXTENSIONS.values()]
    for pattern in patterns:
        for path in folder.glob(pattern):
            if path not in written:
                path.unlink()
    if figures:
        from robustbench_fl.report.figures import remove_stale

        remove_stale(folder / FIGURES, ("heatmap-*", "curves-*", "worst"), written)
