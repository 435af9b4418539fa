"""The same cell in two plans of one sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def united_row(row: dict[str, Any], other: dict[str, Any] | None) -> dict[str, Any]:
    """Return a cell's row of a plan that stands for what it does in another plan too."""
    if other is None or ("stands_for" not in row and "stands_for" not in other):
        return row
    rows = [*_rows(row), *_rows(other)]
    return {**row, "stands_for": [one for place, one in enumerate(rows) if one not in rows[:place]]}


def _rows(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    own = {"aggregator": row["labels"]["aggregator"], "lr": row["cell"]["lr"]}
    return list(row.get("stands_for", [own]))
