"""In which order cells run, and how long all of them will take."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from robustbench_fl.core.cell import Cell, Planned, World
from robustbench_fl.sweep.timing import Times


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
        Of the known ones, the dearest first.
    """

    cells: int
    known: int
    cpu_seconds: float
    wall_seconds: float
    shares: list[Share]


def ordered(cells: Sequence[Planned], times: Times) -> list[Planned]:
    """Return `cells` as they are to be run: longest first, so that no worker is left alone at the end.

    Cells are long by powers of two: within one, those of one world stay together, since a worker
    keeps the world it has. Cells of unknown length come before those that are known, infeasible ones,
    which take no time, first of all.
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
    """Return how long `cells`, in this order, will take on so many workers."""
    runnable = [planned for planned in cells if not planned.infeasible]
    weights = expected(runnable, times)
    known = [p.cell for p in runnable if times.seconds(p.cell) is not None]
    if not known:
        return Estimate(len(runnable), 0, 0.0, 0.0, [])
    busy = [0.0] * max(1, min(workers, len(runnable)))
    for planned in runnable:
        heapq.heapreplace(busy, busy[0] + weights[planned.cell.key])
    return Estimate(len(runnable), len(known), sum(weights.values()), max(busy), _shares(known, weights))


def _shares(cells: Sequence[Cell], weights: Mapping[str, float]) -> list[Share]:
    parts: dict[tuple[str, str, str, str], list[float]] = {}
    for cell in cells:
        what = (cell.dataset, cell.model, cell.aggregator, cell.attack)
        parts.setdefault(what, []).append(weights[cell.key])
    shares = [Share(*what, len(all_), math.fsum(all_)) for what, all_ in parts.items()]
    return sorted(shares, key=lambda share: -share.seconds)
