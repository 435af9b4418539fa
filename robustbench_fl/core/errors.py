"""Errors with a message for the person at the terminal.

Every error says what is wrong, where, what was found and what to do. The command line
prints the message alone; a traceback is for bugs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RobustbenchError(Exception):
    """Base of all errors whose message is meant to be read by a user."""


class UsageError(RobustbenchError, ValueError):
    """What was asked for is malformed, unknown or contradictory (exit code 2)."""


class MissingDataError(UsageError):
    """A data set's files are not where they were looked for."""


class PartitionError(RobustbenchError, ValueError):
    """A partition cannot give every client the samples it needs."""


class InfeasibleError(RobustbenchError, ValueError):
    """A rule cannot work with so many clients and so many assumed malicious ones."""


class UndeclaredAccess(RobustbenchError, AttributeError):
    """A method touched something that it did not declare."""


def among(word: str, known: Iterable[str]) -> str:
    """Return ``"Did you mean krum? Known: krum, median."``, the names in the order given.

    Examples
    --------
    >>> among("krumm", ["median", "krum"]), among("x", ["median"])
    ('Did you mean krum? Known: median, krum.', 'Known: median.')
    """
    names = list(known)
    return f"{did_you_mean(word, names)} Known: {', '.join(names)}.".lstrip()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"Did you mean krum or multi_krum?"``, or an empty string.

    Examples
    --------
    >>> did_you_mean("krumm", ["krum", "median"])
    'Did you mean krum?'
    """
    names = sorted(set(known))
    word = word.lower()
    close = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    roots = [root for root in (word, *close[:1]) if root]
    close += [name for name in names if name not in close and any(root in name for root in roots)]
    return f"Did you mean {' or '.join(close[:3])}?" if close else ""


def nearest_or_own(word: str, known: Iterable[str]) -> str:
    """Return what a method may have been meant by: the nearest names, else that one's own need their file.

    Examples
    --------
    >>> nearest_or_own("krumm", ["krum", "median"])
    'Did you mean krum?'
    >>> nearest_or_own("mine", ["krum", "median"])
    'One of your own needs its file: --plugin FILE.py, or in Python its import.'
    """
    own = "One of your own needs its file: --plugin FILE.py, or in Python its import."
    return did_you_mean(word, known) or own
