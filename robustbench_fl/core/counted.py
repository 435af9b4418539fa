"""A count and its noun."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return how many there are of what `noun` names one of.

    Examples
    --------
    >>> counted(1, "cell"), counted(0, "cell"), counted(1200, "check")
    ('1 cell', '0 cells', '1200 checks')
    """
    return f"{count} {noun}{'s' * (count != 1)}"
