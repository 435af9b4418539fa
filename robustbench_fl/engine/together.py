"""Clients of several cells as one batch of local training."""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time

import torch
from torch import Tensor

from robustbench_fl.engine.jobs import joined
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.engine.training import train
from robustbench_fl.engine.work import Work


def train_together(simulations: Sequence[Simulation], works: Sequence[Work]) -> list[Tensor]:
    """Train one round of several cells that share federation, network and recipe.

    Each cell is charged the time of its share of the jobs.

    Parameters
    ----------
    simulations : sequence of Simulation
        The cells, each after :meth:`~robustbench_fl.engine.simulation.Simulation.begin_round`.
    works : sequence of Work
        What that gave.

    Returns
    -------
    list of Tensor [k, d]
        What came of the jobs of each cell: on a CPU the numbers it would have trained alone, bit for
        bit unless some cell has gradient masks, which change the last digits of all.
    """
    before = process_time()
    first = simulations[0]
    sizes = [len(work.jobs) for work in works]
    start = torch.cat([s.params.expand(size, -1) for s, size in zip(simulations, sizes, strict=True)])
    jobs = joined([work.jobs for work in works])
    trained = train(
        first.model, first.federation, start, jobs, works[0].recipe, first.engine, fewer=first.fewer
    )
    seconds = process_time() - before
    for simulation, size in zip(simulations, sizes, strict=True):
        simulation.timers.seconds["train"] += seconds * size / max(1, sum(sizes))
    return list(torch.split(trained, sizes))
