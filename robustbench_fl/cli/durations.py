"""Lengths of time as people write them: ``90s``, ``30m``, ``2h``, plain seconds."""

from __future__ import annotations

import re

from robustbench_fl.core.errors import UsageError

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")
_WHOLE = re.compile(rf"(?:{_PART.pattern}\s*)+")


def seconds_of(text: str, flag: str) -> float:
    """Return the seconds that `text` means.

    Parameters
    ----------
    text : str
        Such as ``90s``, ``30m``, ``1.5h``, ``1h 30m`` or ``90``.
    flag : str
        Named in the error.

    Raises
    ------
    UsageError
        If `text` is no length of time, or none above zero.

    Examples
    --------
    >>> seconds_of("1h 30m", "--timeout")
    5400.0
    """
    text = text.strip().lower()
    parts = _PART.findall(text) if _WHOLE.fullmatch(text) else []
    units = [unit for _, unit in parts]
    total = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < total < 1e9 or len(set(units)) < len(units) or ("" in units and len(units) > 1):
        raise UsageError(
            f"{flag} must be a length of time such as 90s, 30m, 2h, 1h30m or plain seconds, got {text!r}."
        )
    return total


def duration_text(seconds: float) -> str:
    """Return a length of time for people, in the largest unit that fits and the one below.

    Examples
    --------
    >>> [duration_text(s) for s in (0.25, 59, 90, 5400, 100_000)]
    ['0.25 s', '59 s', '1 min 30 s', '1 h 30 min', '1 d 3 h']
    """
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    names = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    first = next(i for i, (size, _) in enumerate(names) if whole >= size)
    parts = []
    for size, name in names[first : first + 2]:
        if whole >= size:
            parts.append(f"{whole // size} {name}")
        whole %= size
    return " ".join(parts)
