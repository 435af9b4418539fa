"""A cell as it is planned: what every process of a run hands to the next, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robustbench_fl.cell import Cell


@dataclass(frozen=True, slots=True)
class Planned:
    """A cell of the plan.

    Parameters
    ----------
    cell : Cell
        The grid point.
    facts : mapping
        What tables say about its methods (:class:`~robustbench_fl.record.Facts`).
    infeasible : str, optional
        Why it cannot run.
    """

    cell: Cell
    facts: Mapping[str, Any]
    infeasible: str | None = None
