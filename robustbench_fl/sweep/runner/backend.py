"""What every place where cells run must offer, and what it tells on the way."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import CellRecord
from robustbench_fl.sweep.runner.stopping import Stop

Kind = Literal["cell_started", "retry", "timeout", "worker_lost"]


@dataclass(frozen=True)
class Event:
    """Something that happened to a cell before its record was there.

    Parameters
    ----------
    kind : {"cell_started", "retry", "timeout", "worker_lost"}
        What.
    planned : Planned
        The cell.
    facts : mapping
        Details, as ``docs/running.md`` lists them.
    """

    kind: Kind
    planned: Planned
    facts: Mapping[str, Any] = field(default_factory=dict)


Tell = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Take no notice of `event`."""


class Backend(Protocol):
    """Runs cells and hands back records as they are finished, in any order."""

    def run(
        self, cells: Iterable[Planned], stop: Stop, tell: Tell = ignore
    ) -> Generator[CellRecord, None, None]:
        """Yield one record for each cell.

        Closing the iterator stops the workers; cells in flight are lost, finished ones are not.

        Parameters
        ----------
        cells : iterable of Planned
            Taken one by one, each when there is a worker for it.
        stop : Stop
            Once it is requested, no cell is begun, and each in flight is ended with a record of the
            status ``interrupted``.
        tell : callable
            Hears of everything that happens to a cell before its record.
        """
