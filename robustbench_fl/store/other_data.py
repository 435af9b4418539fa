"""Results of other data: cells whose data set, by its digest, was not that of the folder's other cells.

The digest of the arrays that a cell was trained on and tested with is in its record's provenance, not in its
key. Records that were written before it was stored have none, and count.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from robustbench_fl.core.status import OTHER_DATA

_PLANNED = ("key", "cell", "labels", "facts")


def without_other_data(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return `rows`, records of one folder, with those of other data reduced to what was planned and why.

    Of one data set the digest that most records have is right; of two that are as frequent, the smaller
    one, so that every reader of the folder leaves out the same cells.
    """
    listed = list(rows)
    seen: dict[str, Counter[str]] = {}
    for row in listed:
        if digest := data_digest(row):
            seen.setdefault(_data_set(row), Counter())[digest] += 1
    right = {
        name: min(counts, key=lambda d: (-counts[d], d)) for name, counts in seen.items() if len(counts) > 1
    }
    return [_reduced(row, right.get(_data_set(row))) for row in listed] if right else listed


def data_digest(row: Mapping[str, Any]) -> str | None:
    """Return the digest of the data that a record was made with, if it says so."""
    digest = (row.get("provenance") or {}).get("data")
    return digest if isinstance(digest, str) else None


def _data_set(row: Mapping[str, Any]) -> str:
    return json.dumps(row["cell"].get("dataset"), sort_keys=True)


def _reduced(row: dict[str, Any], right: str | None) -> dict[str, Any]:
    digest = data_digest(row)
    if digest is None or right is None or digest == right:
        return row
    reason = f"its {row['labels']['dataset']} has the digest {digest}, that of the other cells {right}"
    return {**{name: row[name] for name in _PLANNED}, "status": OTHER_DATA, "reason": reason}
