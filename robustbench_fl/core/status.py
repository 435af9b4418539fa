"""What the status of a cell means, said once: what counts, what failed, what a later run takes up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Status = Literal["done", "diverged", "infeasible", "failed", "timeout", "oom", "interrupted"]
Final = Literal["done", "diverged", "infeasible"]
"""The statuses of :data:`FINAL`, as a type."""
MISSING = "missing"
"""Said of a planned cell that has no record; never stored."""
KEPT = "of other code, kept"
"""Begins the reason of a cell whose result is of other code and stays (``--keep-stale``); never stored."""
STALE = "stale"
"""Said of a planned cell whose only record is of other code; never stored."""
OTHER_DATA = "other data"
"""Said of a planned cell whose record is of other data than the folder's other records; never stored."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What follows from a status.

    Attributes
    ----------
    text : str
        What happened.
    counted : bool
        Whether the cell has an accuracy that enters tables.
    final : bool
        Whether the cell has a result: no later run takes it up.
    failure : bool
        Whether it counts against ``--max-failures`` and makes ``sweep`` exit with 1.
    taken_up : {"always", "retry", ""}
        Which later run takes it up: each, one with ``--retry-failed``, or none.
    """

    text: str
    counted: bool = False
    final: bool = False
    failure: bool = False
    taken_up: Literal["always", "retry", ""] = ""


MEANING: Mapping[Status, Meaning] = MappingProxyType(
    {
        "done": Meaning(text="simulated to its end", counted=True, final=True),
        "diverged": Meaning(text="the model became useless; its accuracy counts", counted=True, final=True),
        "infeasible": Meaning(text="the rule or the attack cannot work there", final=True),
        "failed": Meaning(text="an error, which the record tells", failure=True, taken_up="retry"),
        "timeout": Meaning(text="ran longer than --timeout", failure=True, taken_up="retry"),
        "oom": Meaning(text="ran out of memory", failure=True, taken_up="always"),
        "interrupted": Meaning(text="stopped from outside", taken_up="always"),
    }
)
"""All statuses that are stored."""

FINAL: frozenset[str] = frozenset(name for name, known in MEANING.items() if known.final)
"""Statuses that no later run takes up again."""
COUNTED: frozenset[str] = frozenset(name for name, known in MEANING.items() if known.counted)
"""Statuses whose accuracy counts."""
FAILURES: frozenset[str] = frozenset(name for name, known in MEANING.items() if known.failure)
"""Statuses of cells that were tried in vain."""
RESUMED: frozenset[str] = frozenset(name for name, known in MEANING.items() if known.taken_up == "always")
"""Statuses that every later run takes up."""
RETRIED: frozenset[str] = frozenset(name for name, known in MEANING.items() if known.taken_up == "retry")
"""Statuses that a later run takes up with ``--retry-failed``, and ``clean --failed`` removes."""
