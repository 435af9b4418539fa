"""Two rounds of each kind of cell, run to know how long the whole ones will take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace

from robustbench_fl.core.cell import Cell, Planned
from robustbench_fl.sweep.runner.backend import Backend
from robustbench_fl.sweep.runner.stopping import Stop
from robustbench_fl.sweep.timing import Kind, Times, kind_of

ROUNDS = 2


def samples(cells: Iterable[Planned], times: Times) -> list[Planned]:
    """Return one short cell of each kind of `cells` that `times` does not know.

    Nothing of them is ever stored: they only teach how long others take.
    """
    found: dict[Kind, Planned] = {}
    for planned in cells:
        cell = planned.cell
        if not planned.infeasible and times.seconds(cell) is None:
            found.setdefault(kind_of(cell.labels, cell.settings), planned)
    return [replace(planned, cell=_short(planned)) for planned in found.values()]


def calibrate(
    short: Sequence[Planned], times: Times, backend: Backend, stop: Stop | None = None
) -> list[str]:
    """Run the cells that :func:`samples` gave, and let `times` learn from them.

    Returns
    -------
    list of str
        For each cell that failed, what it was and why; its kind stays unknown.
    """
    failed = []
    with closing(backend.run(short, stop or Stop())) as records:
        for record in records:
            if record.costs is None:
                rule, attack = record.labels.aggregator, record.labels.attack
                failed.append(f"{rule} under {attack}: {record.status}, {record.reason}")
            times.learn(record.model_dump())
    return failed


def _short(planned: Planned) -> Cell:
    settings = planned.cell.settings
    return replace(
        planned.cell, settings=replace(settings, rounds=min(ROUNDS, settings.rounds), eval_every=1)
    )
