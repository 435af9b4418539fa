"""Tracks: rules compete with those to whom the server's knowledge gives the same chance."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TRACKS: Mapping[str, str] = MappingProxyType(
    {
        "A": "nothing but the updates",
        "B": "f, the number of malicious clients it assumes",
        "C": "the model, who the clients are, or the past",
        "D": "root data, clean samples of its own",
    }
)
"""What the server may know in each track, and in those after it."""
_FROM = {"raw": "A", "f": "B", "root_data": "D"}
_OTHERWISE = "C"


def track_of(told: str) -> str:
    """Return the lowest track that holds what a rule needs.

    Parameters
    ----------
    told : str
        What the server knows, joined by commas, or ``"nothing"``.

    Examples
    --------
    >>> track_of("nothing"), track_of("f"), track_of("f, history"), track_of("model, root_data")
    ('A', 'B', 'C', 'D')
    """
    needs = [] if told == "nothing" else told.split(", ")
    return max((_FROM.get(need, _OTHERWISE) for need in needs), default="A")
