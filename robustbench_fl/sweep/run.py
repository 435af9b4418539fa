"""The main job: a sweep's plan, what of it is missing, and running that into its folder."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import FINAL, CellRecord
from robustbench_fl.store import Store
from robustbench_fl.store.claims import Claims
from robustbench_fl.store.ownership import require_ours
from robustbench_fl.store.stale import Stale
from robustbench_fl.sweep.config import Sweep
from robustbench_fl.sweep.plan import plan_of
from robustbench_fl.sweep.runner.backend import Backend, Tell, ignore
from robustbench_fl.sweep.runner.policy import Existing, due
from robustbench_fl.sweep.runner.processes import MethodProcess
from robustbench_fl.sweep.runner.stopping import Stop
from robustbench_fl.sweep.selection import Choice
from robustbench_fl.sweep.sharing import run_shared, write_plan


@dataclass(frozen=True)
class Prepared:
    """A plan beside what its folder already holds.

    Parameters
    ----------
    sweep : Sweep
        With the grids the folder held before.
    plan : list of Planned
        Every cell of it.
    chosen : list of Planned
        Those that were asked for now.
    pending : list of Planned
        Those of them to run now.
    statuses : mapping
        Of every stored cell, by key.
    finished : frozenset of str
        Keys of those to run that have a final result, which only another one replaces.
    stale : mapping
        Planned cells that have a result of other code only, by key.
    asked : list of Planned
        The cells of the sweep that was asked for, whether or not chosen.
    """

    sweep: Sweep
    plan: list[Planned]
    chosen: list[Planned]
    pending: list[Planned]
    statuses: Mapping[str, str] = field(default_factory=dict)
    finished: frozenset[str] = frozenset()
    stale: Mapping[str, Stale] = field(default_factory=dict)
    asked: list[Planned] = field(default_factory=list)


def prepare(
    sweep: Sweep,
    store: Store,
    *,
    source: str = "",
    existing: Existing = "missing",
    retry_failed: bool = False,
    choice: Choice | None = None,
    methods: MethodProcess | None = None,
    data_dir: Path | None = None,
    keep_stale: bool = False,
) -> Prepared:
    """Unite `sweep` with what `store` holds and find the cells to run.

    Parameters
    ----------
    sweep : Sweep
        What is asked for.
    store : Store
        Where it is, or will be, stored.
    source : str
        Where the sweep was read from, for error messages.
    existing, retry_failed
        Which cells with a record are run again: :func:`robustbench_fl.sweep.runner.policy.due`.
    choice : Choice, optional
        Filters and a shard.
    methods : MethodProcess, optional
        The process that knows methods.
    data_dir : Path, optional
        Where the user's own data sets lie; by default the one data directory.
    keep_stale : bool
        Whether results of plug-in methods that have been edited since stand for those of the code of today.

    Raises
    ------
    UsageError
        If the folder holds a sweep with other settings, a method is unknown, or the choice leaves nothing.
    """
    require_ours(store.folder)
    held = store.read_sweep()
    statuses = store.statuses()  # first: meanwhile the other process gets ready
    methods = methods or MethodProcess()
    found = methods.call(plan_of, sweep, held, source, str(store.folder), data_dir)
    is_due = due(existing, retry_failed=retry_failed)
    without = (p.cell for p in found.cells if p.cell.key not in statuses)
    stale = store.code.stale({cell.key: cell.identity for cell in without})
    asked = [p for p in found.cells if found.asked is None or p.cell.key in found.asked]
    chosen = choice.of(asked) if choice else asked
    plan = found.cells
    if keep_stale:
        plan, chosen, asked = ([_as_stored(p, stale) for p in cells] for cells in (plan, chosen, asked))
    pending = [planned for planned in chosen if is_due(statuses.get(planned.cell.key))]
    final = (key for planned in pending if statuses.get(key := planned.cell.key) in FINAL)
    return Prepared(found.sweep, plan, chosen, pending, statuses, frozenset(final), stale, asked)


def run(
    prepared: Prepared,
    store: Store,
    backend: Backend,
    on_record: Callable[[CellRecord], None],
    stop: Stop | None = None,
    tell: Tell = ignore,
    say: Callable[[str], None] = lambda text: None,
    take_over: bool = False,
) -> None:
    """Write the plan, run what is to do, and store each record as it comes.

    Other processes may do the same in the same folder: each cell is run by one of them.

    Parameters
    ----------
    prepared : Prepared
        What to do.
    store : Store
        Where to.
    backend : Backend
        Where cells run.
    on_record : callable
        Called with every record, after it is stored.
    stop : Stop, optional
        Ends the run early.
    tell : callable
        Hears what happens to cells before their records.
    say : callable
        Tells the user what is waited for.
    take_over : bool
        Whether cells are taken from runs that nothing on this machine proves alive.
    """
    stop = stop or Stop()

    def stored(cells: Iterator[Planned]) -> Generator[CellRecord, None, None]:
        with closing(backend.run(cells, stop, tell)) as records:
            for record in records:
                if record.status in FINAL or record.key not in prepared.finished:
                    store.write(record)
                yield record

    write_plan(prepared.sweep, map(plan_row, prepared.plan), store)
    if prepared.pending:
        claims = Claims(store.folder, take_over=take_over)
        run_shared(prepared.pending, store, stored, on_record, stop, say, claims)


def _as_stored(planned: Planned, stale: Mapping[str, Stale]) -> Planned:
    """Return the cell under the identity of its stored result, if that is of other code."""
    if (found := stale.get(planned.cell.key)) is None:
        return planned
    cell = replace(planned.cell, methods=found.methods)
    return replace(planned, cell=cell, kept_of=found.changed)


def plan_row(planned: Planned) -> dict[str, Any]:
    """Return what ``plan.jsonl.gz`` holds of a planned cell."""
    cell = planned.cell
    row: dict[str, Any] = {
        "key": cell.key,
        "cell": dict(cell.identity),
        "labels": cell.labels,
        "facts": dict(planned.facts),
    }
    if planned.stands_for:
        row["stands_for"] = [{"aggregator": rule, "lr": lr} for rule, lr in planned.stands_for]
    return {**row, "kept_of": list(planned.kept_of)} if planned.kept_of else row


def default_folder(name: str) -> Path:
    """Return where the sweep `name` is stored unless a folder is given."""
    return Path("results") / name
