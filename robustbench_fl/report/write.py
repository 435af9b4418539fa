"""The tables and figures of a sweep's folder, written anew from its cells."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from robustbench_fl.analysis.coverage import Missing
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.report.contents import PATTERNS, contents
from robustbench_fl.report.panels import panels
from robustbench_fl.report.tables import render
from robustbench_fl.report.written import Written

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
        ``figures/*.png`` go. Tables and figures that were written before and are not any more are removed;
        nothing else in the folder is touched.
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
    written = Written(folder)
    paths = {
        name: written.write(name, data) for name, data in _files(kept, missing, figures, (*ALWAYS, *also))
    }
    patterns = [f"{name}.{kind}" for name in PATTERNS for kind in _EXTENSIONS.values()]
    if figures:
        patterns += [f"{FIGURES}/{name}.*" for name in ("heatmap-*", "curves-*", "worst")]
    written.remove_others(patterns, paths)
    written.save()
    return list(paths.values())


def forged(records: Iterable[Mapping[str, Any]], folder: Path) -> dict[str, str]:
    """Return the stored tables that are not what the cells give, and where they differ, by file name.

    Parameters
    ----------
    records : iterable of mappings
        As for :func:`write_reports`.
    folder : path
        Where the tables lie. Tables that were not written, and those of a policy for missing cells that
        gives the same bytes, are no difference.
    """
    kept = list(records)
    problems: dict[str, str] = {}
    for number, policy in enumerate(get_args(Missing)):
        made = dict(_files(kept, policy, False, tuple(_EXTENSIONS)))
        stored = {name: (folder / name).read_bytes() for name in made if (folder / name).is_file()}
        found = {n: _first_difference(data, made[n]) for n, data in stored.items() if data != made[n]}
        patterns = [f"{name}.{kind}" for name in PATTERNS for kind in _EXTENSIONS.values()]
        strange = {path.name for pattern in patterns for path in folder.glob(pattern)} - set(made)
        found |= dict.fromkeys(sorted(strange), "is no table of these cells")
        if not found:
            return {}
        problems = found if number == 0 or len(found) < len(problems) else problems
    return problems


def _first_difference(stored: bytes, made: bytes) -> str:
    old, new = (text.decode(errors="backslashreplace").splitlines() for text in (stored, made))
    for number, (one, other) in enumerate(zip(old, new), 1):
        if one != other:
            at = max(next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), 0) - 20, 0)
            here, there = one[at : at + 60], other[at : at + 60]
            return f"line {number} says {here!r} where its cells give {there!r}"
    return f"has {len(old)} lines where its cells give {len(new)}"


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
