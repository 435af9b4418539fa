"""Several processes sweeping into one folder: they unite their plans and divide the cells."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain
from select import select
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import CellRecord
from robustbench_fl.store import Store
from robustbench_fl.store.claims import Claims, running
from robustbench_fl.store.lock import locked
from robustbench_fl.sweep.config import Sweep, make_sweep, to_toml, united
from robustbench_fl.sweep.rows import united_row
from robustbench_fl.sweep.runner.stopping import Stop

_SECONDS_BETWEEN_LOOKS = 1.0


def write_plan(sweep: Sweep, rows: Iterable[dict[str, Any]], store: Store) -> None:
    """Write a plan, united with what another process has written there since it was made.

    Parameters
    ----------
    sweep : Sweep
        With the grids the folder held when it was planned.
    rows : iterable of dicts
        Its plan.
    store : Store
        Where to.

    Raises
    ------
    UsageError
        If another process has begun a sweep with other settings there.
    """
    with locked(store.folder):
        held = store.read_sweep() if store.sweep_is_changed() else None
        whole = united(make_sweep(held, {}, "sweep.toml of the folder"), sweep) if held else sweep
        if any(grid not in sweep.grids for grid in whole.grids):
            # A sweep's plan is its grids one after the other, so the plans unite as the grids do.
            by_key = {row["key"]: row for row in store.planned()}
            for row in rows:
                held_row = by_key.get(row["key"])
                by_key[row["key"]] = united_row(held_row or row, row)
            rows = by_key.values()
        else:
            whole = sweep
        store.write_plan(to_toml(whole), rows)


def run_shared(
    pending: Iterable[Planned],
    store: Store,
    run: Callable[[Iterator[Planned]], Generator[CellRecord, None, None]],
    on_record: Callable[[CellRecord], None],
    stop: Stop,
    say: Callable[[str], None],
    claims: Claims | None = None,
) -> None:
    """Run the cells of `pending` that no other process runs, then wait for the others.

    Parameters
    ----------
    pending : iterable of Planned
        Cells to run.
    store : Store
        Where records go; what it last read is what was there before.
    run : callable
        Takes cells from an iterator, each when there is room for it, stores their records and
        hands them back.
    on_record : callable
        Called with every record, also those of other processes.
    stop : Stop
        Ends the run early.
    say : callable
        Tells the user what is waited for.
    claims : Claims, optional
        By default those of `store`'s folder.
    """
    with claims or Claims(store.folder) as held:
        left, said = list(pending), False
        while left and not stop.requested:
            turn = _Turn(left, store, held)
            cells = iter(turn)
            if (first := next(cells, None)) is not None:
                with closing(run(chain([first], cells))) as records:
                    for record in records:
                        held.release(record.key)
                        on_record(record)
            for record in turn.stored:
                on_record(record)
            left = turn.others
            if left and not stop.requested:
                if not said:
                    say(_waiting(len(left), store))
                    said = True
                select([stop], [], [], _SECONDS_BETWEEN_LOOKS)


class _Turn:
    """One walk over cells: those that can be claimed, those others run, those they have stored."""

    def __init__(self, cells: Iterable[Planned], store: Store, claims: Claims) -> None:
        self._cells = cells
        self._store = store
        self._claims = claims
        self.others: list[Planned] = []
        self.stored: list[CellRecord] = []

    def __iter__(self) -> Iterator[Planned]:
        for planned in self._cells:
            key = planned.cell.key
            if not self._claims.take(key):
                self.others.append(planned)
            elif record := self._store.written_since(key):
                self._claims.release(key)
                self.stored.append(record)
            else:
                yield planned


def _waiting(cells: int, store: Store) -> str:
    others = [str(run) for run, claimed in running(store.folder) if claimed]
    return (
        f"{cells} cell{'s are' if cells > 1 else ' is'} being run by another process in this folder "
        f"({'; '.join(others) or 'which has just begun or ended'}). Waiting "
        "for it (Ctrl-C leaves them to it). If it dies, they run here."
    )
