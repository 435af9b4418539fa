"""How long cells take, in which order they run, and short runs to find out.

Times are learnt from finished cells of the same kind.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any, NamedTuple

from robustbench_fl.core.cell import Cell, Planned, World
from robustbench_fl.core.settings import Settings
from robustbench_fl.core.status import COUNTED
from robustbench_fl.sweep.runner.backend import Backend
from robustbench_fl.sweep.runner.stopping import Stop

ENOUGH = 9
"""Finished cells of one kind that are read: their median hardly moves with more."""
ROUNDS = 2
"""Of the short cells that are run to know how long the whole ones take."""

Kind = tuple[object, ...]
"""Cells that take equally long, but for the number of rounds and evaluations."""


class _Spent(NamedTuple):
    """CPU seconds of one cell: on its evaluations, and on everything else in its rounds."""

    rounds: int
    evaluations: int
    evaluating: float
    working: float


def kind_of(labels: Mapping[str, str], settings: Settings) -> Kind:
    """Return the kind of a cell: its methods but the partition, and what decides the work of a round."""
    methods = (labels["dataset"], labels["model"], labels["aggregator"], labels["attack"])
    local = (settings.local_epochs, settings.local_steps, settings.batch_size)
    extra = (settings.server, settings.augment, bool(settings.proximal_mu), settings.root_size != 0)
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


@dataclass(frozen=True)
class Share:
    """What cells of one rule under one attack, on one data set and network, take together.

    Parameters
    ----------
    dataset, model, aggregator, attack : str
        What they have in common.
    cells : int
        How many there are.
    seconds : float
        CPU seconds of all of them.
    """

    dataset: str
    model: str
    aggregator: str
    attack: str
    cells: int
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """How long cells will take.

    Parameters
    ----------
    cells : int
        Cells that can run.
    known : int
        Those whose kind ran before; the others are counted as their mean.
    cpu_seconds : float
        Of all of them; 0 where none is known.
    wall_seconds : float
        With the workers there are.
    shares : list of Share
        Of the known ones, the longest first.
    """

    cells: int
    known: int
    cpu_seconds: float
    wall_seconds: float
    shares: list[Share]


def ordered(cells: Sequence[Planned], times: Times) -> list[Planned]:
    """Return `cells` as they are to be run: longest first, so that no worker is left alone at the end.

    Lengths are rounded to powers of two. Among cells of one length those of one world stay together,
    since a worker keeps the world it has. Cells of unknown length come before all known ones, and
    infeasible cells, which take no time, come first.
    """
    worlds: dict[World, int] = {}
    ranks = [worlds.setdefault(World.of(planned.cell), len(worlds)) for planned in cells]

    def place(index: int) -> tuple[float, int, float, int]:
        planned = cells[index]
        if planned.infeasible:
            return (-math.inf, 0, 0.0, index)
        seconds = times.seconds(planned.cell)
        if seconds is None:
            return (-math.inf, 1 + ranks[index], 0.0, index)
        return (-math.floor(math.log2(max(seconds, 1e-3))), ranks[index], -seconds, index)

    return [cells[index] for index in sorted(range(len(cells)), key=place)]


def expected(cells: Sequence[Planned], times: Times) -> dict[str, float]:
    """Return the CPU seconds each of `cells` is expected to take, by key.

    Those of unknown kinds are as long as the others on average; where nothing is known, each counts 1.
    Infeasible ones count 0.
    """
    seconds = {p.cell.key: 0.0 if p.infeasible else times.seconds(p.cell) for p in cells}
    known = [one for p in cells if not p.infeasible and (one := seconds[p.cell.key]) is not None]
    usual = fmean(known) if known else 1.0
    return {key: usual if one is None else one for key, one in seconds.items()}


def estimate(cells: Sequence[Planned], times: Times, workers: int) -> Estimate:
    """Return how long `cells`, in this order, will take on `workers` workers."""
    runnable = [planned for planned in cells if not planned.infeasible]
    weights = expected(runnable, times)
    known = [p.cell for p in runnable if times.seconds(p.cell) is not None]
    if not known:
        return Estimate(len(runnable), 0, 0.0, 0.0, [])
    busy = [0.0] * max(1, min(workers, len(runnable)))
    for planned in runnable:
        heapq.heapreplace(busy, busy[0] + weights[planned.cell.key])
    return Estimate(len(runnable), len(known), sum(weights.values()), max(busy), _shares(known, weights))


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


def _evaluations(rounds: int, settings: Settings) -> int:
    return -(-rounds // settings.eval_every)


def _shares(cells: Sequence[Cell], weights: Mapping[str, float]) -> list[Share]:
    parts: dict[tuple[str, str, str, str], list[float]] = {}
    for cell in cells:
        what = (cell.dataset, cell.model, cell.aggregator, cell.attack)
        parts.setdefault(what, []).append(weights[cell.key])
    shares = [Share(*what, len(all_), math.fsum(all_)) for what, all_ in parts.items()]
    return sorted(shares, key=lambda share: -share.seconds)


def _short(planned: Planned) -> Cell:
    settings = planned.cell.settings
    return replace(
        planned.cell, settings=replace(settings, rounds=min(ROUNDS, settings.rounds), eval_every=1)
    )
