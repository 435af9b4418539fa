"""A sweep in one line, for dashboards and the badges of a README."""

from __future__ import annotations

from typing import Any

import pandas as pd

from robustbench_fl.analysis.coverage import counted
from robustbench_fl.analysis.frame import digest
from robustbench_fl.analysis.leaderboard import Leaderboard

LABEL = "robustbench-fl"


def badge(frame: pd.DataFrame, board: Leaderboard) -> dict[str, Any]:
    """Return what a badge says, as plain data.

    Parameters
    ----------
    frame : pandas.DataFrame
        As from :func:`robustbench_fl.analysis.frame.frame`.
    board : Leaderboard
        Of the same cells.

    Returns
    -------
    dict
        ``schemaVersion``, ``label``, ``message`` and ``color``, as shields.io reads them from an
        endpoint; then ``best`` (by track, the rules that share its first rank), ``score`` (the
        highest, a fraction), ``score_column``, ``cells`` (finished), ``planned`` (feasible),
        ``coverage`` (their ratio) and ``digest``. The colour says whether the cells are complete, not
        whether the score is good: green, yellow with holes, grey without a ranked rule.
    """
    leaders = board.table[board.table[board.rank_column] == 1]
    best = {track: list(rows["aggregator"]) for track, rows in leaders.groupby("track")}
    score = float(leaders[board.score_column].max()) if best else None
    done, planned = int(counted(frame).sum()), int((frame["status"] != "infeasible").sum())
    whole = done == planned
    colour = "lightgrey" if score is None else "brightgreen" if whole else "yellow"
    shown = [
        f"{track}: {_named(best[track])} {100 * rows[board.score_column].max():.1f} %"
        for track, rows in leaders.groupby("track")
    ]
    message = f"worst case {'; '.join(shown)}" if shown else "no ranked rule"
    return {
        "schemaVersion": 1,
        "label": LABEL,
        "message": message if whole else f"{message}, {done}/{planned} cells",
        "color": colour,
        "best": best,
        "score": score,
        "score_column": board.score_column,
        "cells": done,
        "planned": planned,
        "coverage": done / planned if planned else None,
        "digest": digest(frame),
    }


def _named(rules: list[str]) -> str:
    return rules[0] if len(rules) == 1 else f"{rules[0]} and {len(rules) - 1} tied"
