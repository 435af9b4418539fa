"""Whether two records of the same cell tell the same outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TOLERANCE = 1e-3
"""Largest difference of a figure between machines or versions of libraries; on the same ones it is 0."""

_SAME = ("versions", "hardware", "engine", "device")
_OUTCOME = ("status", "metrics", "curves", "detection", "counts", "federation")
_ADDED = ("image_counts",)
"""Of the outcome too, where both records have it: those of older programs do not."""
_LATER = frozenset({"metrics.client_accuracy", "metrics.worst_client_accuracy"})
"""Metrics that records of older schemas lack: compared where both have them."""


@dataclass(frozen=True)
class Difference:
    """A figure that two records of a cell do not share.

    Parameters
    ----------
    what : str
        Where it stands, such as ``metrics.accuracy``.
    first, second : object
        What either record says.
    """

    what: str
    first: Any
    second: Any

    @property
    def size(self) -> float:
        """By how much two numbers differ; infinite where one is none."""
        if _is_number(self.first) and _is_number(self.second):
            return abs(float(self.first) - float(self.second))
        return float("inf")


def tolerance(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    """Return by how much the figures of two records may differ: 0 if both come from the same machine."""
    one, two = first.get("provenance") or {}, second.get("provenance") or {}
    return 0.0 if all(one.get(name) == two.get(name) for name in _SAME) else TOLERANCE


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Return where two records of one cell differ beyond their :func:`tolerance`, the largest first.

    From the same machine, versions, engine and device, the whole outcome must be the same bit for
    bit; otherwise the status must be, and the final figures within the tolerance. Always the data must be
    the same that both were trained on, where both say it.

    Examples
    --------
    >>> differences({"status": "done", "metrics": {"tpr": 0.5}}, {"status": "done", "metrics": {"tpr": 1.0}})
    [Difference(what='metrics.tpr', first=0.5, second=1.0)]
    """
    one, two = ((record.get("provenance") or {}).get("data") for record in (first, second))
    other_data = [Difference("provenance.data", one, two)] if one and two and one != two else []
    allowed = tolerance(first, second)
    added = [part for part in _ADDED if first.get(part) and second.get(part)]
    parts = ("status", "metrics") if allowed else (*_OUTCOME, *added)
    found = [
        difference
        for part in parts
        for difference in _walk(part, first.get(part), second.get(part))
        if difference.size > allowed
        and not (difference.what in _LATER and None in (difference.first, difference.second))
    ]
    return other_data + sorted(found, key=lambda difference: -difference.size)


def _walk(what: str, first: Any, second: Any) -> Iterator[Difference]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in {**first, **second}:
            yield from _walk(f"{what}.{name}", first.get(name), second.get(name))
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, pair in enumerate(zip(first, second)):
            yield from _walk(f"{what}[{number}]", *pair)
    elif first != second:
        yield Difference(what, first, second)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
