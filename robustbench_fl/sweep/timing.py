"""How long cells take, learnt from cells of the same kind that ran before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any, NamedTuple

from robustbench_fl.core.cell import Cell, Planned
from robustbench_fl.core.settings import Settings
from robustbench_fl.core.status import COUNTED

ENOUGH = 9
"""Finished cells of one kind that are read: their median hardly moves with more."""

Kind = tuple[object, ...]
"""Cells that take equally long, but for the number of rounds and evaluations."""


class _Spent(NamedTuple):
    """CPU seconds of one cell: on so many evaluations, and on all else in so many rounds."""

    rounds: int
    evaluations: int
    evaluating: float
    working: float


def kind_of(labels: Mapping[str, str], settings: Settings) -> Kind:
    """Return the kind of a cell: its methods but the partition, and what decides the work of a round."""
    methods = (labels["dataset"], labels["model"], labels["aggregator"], labels["attack"])
    local = (settings.local_epochs, settings.local_steps, settings.batch_size)
    extra = (settings.server, settings.augment, bool(settings.proximal_mu), bool(settings.root_size))
    return (*methods, settings.clients, settings.participation, *local, *extra)


class Times:
    """CPU seconds a cell is expected to take.

    The median of finished cells of its kind with as many rounds; without such, of those with
    other numbers of rounds, in proportion.
    """

    def __init__(self) -> None:
        self._spent: dict[Kind, list[_Spent]] = {}
        self._known: dict[tuple[Kind, int, int], float] = {}

    def learn(self, record: Mapping[str, Any]) -> None:
        """Take note of a stored record; one of a cell that did not end by itself teaches nothing."""
        costs, counts = record.get("costs"), record.get("counts")
        if not costs or not counts or not counts["rounds"]:
            return
        settings = Settings.of(record["cell"])
        working = sum(costs[f"{part}_seconds"] for part in ("train", "attack", "aggregate"))
        rounds = counts["rounds"]
        spent = _Spent(rounds, _evaluations(rounds, settings), costs["evaluate_seconds"], working)
        self._spent.setdefault(kind_of(record["labels"], settings), []).append(spent)
        self._known.clear()

    def seconds(self, cell: Cell) -> float | None:
        """Return the CPU seconds that `cell` will take, ``None`` if no cell of its kind is known."""
        kind = kind_of(cell.labels, cell.settings)
        rounds, evaluations = cell.settings.rounds, _evaluations(cell.settings.rounds, cell.settings)
        if kind not in self._spent:
            return None
        place = (kind, rounds, evaluations)
        if place not in self._known:
            all_ = self._spent[kind]
            alike = [one for one in all_ if one.rounds == rounds] or all_
            self._known[place] = median(
                one.working * rounds / one.rounds + one.evaluating * evaluations / one.evaluations
                for one in alike
            )
        return self._known[place]


def learnt(
    cells: Iterable[Planned],
    statuses: Mapping[str, str],
    read: Callable[[str], Mapping[str, Any] | None],
) -> Times:
    """Return what the finished cells of a folder teach.

    Parameters
    ----------
    cells : iterable of Planned
        The folder's plan.
    statuses : mapping
        Status of every stored cell by key.
    read : callable
        Gives the stored record of a key; asked for at most :data:`ENOUGH` of each kind and number of rounds.
    """
    times = Times()
    taken: dict[tuple[Kind, int], int] = {}
    # By key, which is a hash: of many seeds and fractions it is a fair sample, the same at every call.
    finished = [p.cell for p in cells if statuses.get(p.cell.key) in COUNTED]
    for cell in sorted(finished, key=lambda cell: cell.key):
        place = (kind_of(cell.labels, cell.settings), cell.settings.rounds)
        if taken.get(place, 0) < ENOUGH and (record := read(cell.key)):
            taken[place] = taken.get(place, 0) + 1
            times.learn(record)
    return times


def _evaluations(rounds: int, settings: Settings) -> int:
    return -(-rounds // settings.eval_every)
