"""What every place where cells run must offer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from robustbench_fl.planned import Planned
from robustbench_fl.record import CellRecord


class Backend(Protocol):
    """Runs cells and hands back records as they are finished, in any order."""

    def run(self, cells: Sequence[Planned]) -> Iterator[CellRecord]:
        """Yield one record for each cell.

        Closing the iterator stops the workers; cells in flight are lost, finished ones are not.
        """
