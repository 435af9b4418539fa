"""Which tables a sweep's folder gets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import pandas as pd

from robustbench_fl.analysis.attacks import attack_table
from robustbench_fl.analysis.costs import cost_table
from robustbench_fl.analysis.coverage import Missing
from robustbench_fl.analysis.detection import detection_table
from robustbench_fl.analysis.leaderboard import Leaderboard, leaderboard
from robustbench_fl.analysis.matrix import matrix
from robustbench_fl.analysis.pairs import pair_table
from robustbench_fl.analysis.sections import ALIASES, sections
from robustbench_fl.analysis.table import Table
from robustbench_fl.core.errors import UsageError
from robustbench_fl.report.panels import Panel
from robustbench_fl.report.tables import Renderable

BY = ("dataset", "alpha", "fraction", "assumed_f")
"""Columns for each value of which there is a leaderboard, where they have several."""
_TABLES: Mapping[str, Callable[[pd.DataFrame], Table]] = MappingProxyType(
    {"attacks": attack_table, "costs": cost_table, "detection": detection_table, "differences": pair_table}
)
PATTERNS = ("leaderboard", "leaderboard-by-*", "matrix-*", *_TABLES)
"""Stems of the files that :func:`contents` may name."""


def contents(
    table: pd.DataFrame, board: Leaderboard, shown: list[Panel], missing: Missing
) -> Iterator[tuple[str, str, Renderable]]:
    """Yield the stem of a file, its title (may be empty) and the table, the leaderboard first.

    Parameters
    ----------
    table : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`; not empty.
    board : Leaderboard
        Of all cells.
    shown : list of Panel
        The blocks that get a matrix.
    missing : {"exclude", "worst", "zero"}
        Policy of the other leaderboards.
    """

    def ranked(cells: pd.DataFrame) -> Leaderboard:
        return leaderboard(cells, missing)

    yield "leaderboard", "", board
    for name in BY:
        if table[ALIASES.get(name, name)].nunique() > 1:
            title = f"The leaderboard by {name.replace('_', ' ')}"
            yield f"leaderboard-by-{name}", title, sections(table, name, ranked)
    for name, make in _TABLES.items():
        with contextlib.suppress(UsageError):  # not every sweep has the cells that it needs
            yield name, name.capitalize(), make(table)
    for panel in shown:
        yield f"matrix-{panel.name}", panel.title, matrix(panel.cells)
