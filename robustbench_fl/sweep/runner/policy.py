"""How long cells may run, what is tried again, when a run gives up, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from robustbench_fl.core.status import FAILURES as FAILURES
from robustbench_fl.core.status import FINAL, RESUMED, RETRIED

Existing = Literal["missing", "always", "never"]
"""What becomes of cells that have a record: see :func:`due`."""

_SHORTEST_GRACE, _LONGEST_GRACE = 2.0, 60.0


@dataclass(frozen=True, kw_only=True)
class RunPolicy:
    """Limits of a run; none of them changes a number.

    Parameters
    ----------
    timeout : float, optional
        Seconds a cell may take, on a clock that cannot be set. Checked between rounds.
    retry_timeouts : int
        How often a cell that ran out of time is run again, alone, after all others.
    max_failures : int, optional
        After so many failed cells (``failed``, ``timeout``, ``oom``) the run stops.
    keep_logs : bool
        Whether the output of finished cells is kept too.
    checkpoint_every : int, optional
        Rounds between the checkpoints of a cell, 0 for none; by default only cells of more than ten
        minutes have some.
    """

    timeout: float | None = None
    retry_timeouts: int = 0
    max_failures: int | None = None
    keep_logs: bool = False
    checkpoint_every: int | None = None

    @property
    def grace(self) -> float:
        """Seconds beyond the timeout after which the worker is killed: a tenth of it, 2 to 60."""
        return min(max((self.timeout or 0.0) / 10, _SHORTEST_GRACE), _LONGEST_GRACE)


def due(existing: Existing, *, retry_failed: bool = False) -> Callable[[str | None], bool]:
    """Return whether a cell of some stored status (``None``: no record) is to be run.

    Parameters
    ----------
    existing : {"missing", "always", "never"}
        ``missing`` runs cells without a result: those without a record, interrupted ones and those
        that ran out of memory. ``always`` runs every cell again. ``never`` leaves every cell that
        has a record alone, whatever its status.
    retry_failed : bool
        Whether ``missing`` takes up failed cells and timeouts too.
    """
    if existing == "always":
        return lambda status: True
    if existing == "never":
        return lambda status: status is None
    retried = RESUMED | (RETRIED if retry_failed else frozenset())
    return lambda status: status is None or (status not in FINAL and status in retried)
