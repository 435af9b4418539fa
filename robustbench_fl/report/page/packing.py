"""Data small enough to travel inside a page: coded columns, curves as differences, gzip in base64."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

STEPS = 10_000
"""Curves are rounded to so many steps of one (0.01 %)."""
MOST_POINTS = 60
"""Longer curves are thinned; the last evaluation always stays."""


def packed(data: Any) -> str:
    """Return `data` as base64 of gzipped JSON: text without any character that HTML knows.

    The same data give the same text.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def coded(values: Sequence[Any]) -> dict[str, Any]:
    """Return a column as its distinct values and, if there are several, which of them stands where.

    Examples
    --------
    >>> coded(["a", "b", "a"]), coded([None, None])
    ({'values': ['a', 'b'], 'at': [0, 1, 0]}, {'values': [None]})
    """
    places: dict[Any, int] = {}
    at = [places.setdefault(value, len(places)) for value in values]
    column: dict[str, Any] = {"values": list(places)}
    return column | {"at": at} if len(places) > 1 else column


def numbers(column: pd.Series) -> list[float | None]:
    """Return a column of numbers, all digits kept, with ``None`` for what is missing."""
    return [None if pd.isna(value) else float(value) for value in column]


def curve(curves: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the curves of one record as integers, each the difference to the one before.

    Parameters
    ----------
    curves : mapping or None
        ``round``, ``accuracy`` and ``attack_success`` as in :class:`robustbench_fl.core.record.Curves`.

    Returns
    -------
    dict or None
        ``round`` (tuple of int), ``accuracy`` and, where there is any, ``attack_success``. None
        without an evaluation.

    Examples
    --------
    >>> curve({"round": [1, 2], "accuracy": [0.5, 0.75], "attack_success": [None, None]})
    {'round': (1, 2), 'accuracy': [5000, 2500]}
    """
    if not curves or not curves["round"]:
        return None
    kept = _kept(len(curves["round"]))
    found: dict[str, Any] = {"round": tuple(curves["round"][i] for i in kept)}
    for name in ("accuracy", "attack_success"):
        values = [curves[name][i] for i in kept]
        if any(value is not None for value in values):
            found[name] = _differences(values)
    return found


def _kept(n_points: int) -> list[int]:
    """Return which of `n_points` evaluations stay: every k-th, counted from the last."""
    step = -(-n_points // MOST_POINTS)
    return list(range(n_points - 1, -1, -step))[::-1]


def _differences(values: Sequence[float | None]) -> list[int | None]:
    before, found = 0, list[int | None]()
    for value in values:
        if value is None:
            found.append(None)
            continue
        now = round(STEPS * value)
        found.append(now - before)
        before = now
    return found
