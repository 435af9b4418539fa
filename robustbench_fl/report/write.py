"""The tables and figures of a sweep's folder, written anew from its cells."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from robustbench_fl.analysis.attacks import attack_table
from robustbench_fl.analysis.costs import cost_table
from robustbench_fl.analysis.coverage import Missing
from robustbench_fl.analysis.detection import detection_table
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.analysis.matrix import matrix
from robustbench_fl.analysis.table import Table
from robustbench_fl.errors import UsageError
from robustbench_fl.files import write_atomically
from robustbench_fl.report.panels import panels
from robustbench_fl.report.tables import render

FIGURES = "figures"
_TABLES: Mapping[str, Callable[[pd.DataFrame], Table]] = MappingProxyType(
    {"attacks": attack_table, "costs": cost_table, "detection": detection_table}
)


def write_reports(
    records: Iterable[Mapping[str, Any]],
    folder: str | os.PathLike[str],
    missing: Missing = "exclude",
    figures: bool = True,
) -> list[Path]:
    """Write everything that is derived from cells.

    Parameters
    ----------
    records : iterable of mappings
        One record for every planned cell, as for :func:`robustbench_fl.analysis.frame.frame`.
    folder : path
        Where ``cells.csv``, ``leaderboard``, ``attacks``, ``costs``, ``detection`` and ``matrix-*``
        (``.md`` and ``.csv`` each) and ``figures/*.png`` go. Tables and figures of blocks that are gone are
        removed; nothing else in the folder is touched.
    missing : {"exclude", "worst", "zero"}, optional
        Policy for rules that lack cells, as for
        :func:`robustbench_fl.analysis.leaderboard.leaderboard`.
    figures : bool, optional
        Whether to draw.

    Returns
    -------
    list of Path
        The files written; each appears whole or not at all. Without any record only an empty
        ``cells.csv`` is written.
    """
    kept = list(records)
    folder = Path(folder)
    written = []
    for name, data in _files(kept, missing, figures):
        write_atomically(folder / name, data)
        written.append(folder / name)
    _remove_stale(folder, set(written), figures)
    return written


def _files(records: list[Mapping[str, Any]], missing: Missing, figures: bool) -> Iterator[tuple[str, bytes]]:
    table = frame(records)
    yield "cells.csv", _text(render(table, "csv"))
    if table.empty:
        return
    board = leaderboard(table, missing)
    yield "leaderboard.md", _text(render(board, "md"))
    yield "leaderboard.csv", _text(render(board, "csv"))
    yield from _further(table)
    shown = list(panels(table))
    for panel in shown:
        accuracy = matrix(panel.cells)
        yield f"matrix-{panel.name}.md", _text(f"# {panel.title}\n\n{render(accuracy, 'md')}")
        yield f"matrix-{panel.name}.csv", _text(render(accuracy, "csv"))
    if figures:
        from robustbench_fl.report.figures import sweep_figures

        for name, drawn in sweep_figures(records, shown, board):
            yield f"{FIGURES}/{name}.png", drawn


def _further(table: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Yield the tables that need cells which not every sweep has."""
    for name, make in _TABLES.items():
        with contextlib.suppress(UsageError):
            found = make(table)
            yield f"{name}.md", _text(render(found, "md"))
            yield f"{name}.csv", _text(render(found, "csv"))


def _text(text: str) -> bytes:
    return f"{text}\n".encode()


def _remove_stale(folder: Path, written: set[Path], figures: bool) -> None:
    patterns = [f"{name}.{kind}" for name in ("matrix-*", *_TABLES) for kind in ("md", "csv")]
    for pattern in patterns:
        for path in folder.glob(pattern):
            if path not in written:
                path.unlink()
    if figures:
        from robustbench_fl.report.figures import remove_stale

        remove_stale(folder / FIGURES, ("heatmap-*", "curves-*", "worst"), written)
