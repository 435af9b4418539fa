"""What clients reach alone, and what all their data reaches together: the range a federation works in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import mean

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import build
from robustbench_fl.api.model import Model
from robustbench_fl.core.cell import World
from robustbench_fl.core.seeding import stream
from robustbench_fl.core.settings import Settings
from robustbench_fl.data.federation import Federation
from robustbench_fl.engine.client_jobs import make_jobs
from robustbench_fl.engine.evaluation import evaluate
from robustbench_fl.engine.jobs import Recipe
from robustbench_fl.engine.training import train
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import federation_of, one_thread


@dataclass(frozen=True, kw_only=True)
class Sanity:
    """Test accuracies without any federation.

    Parameters
    ----------
    federation : Federation
        Whose data it was.
    alone : list of float
        Of each client that trains on its own samples only.
    central : float
        Of one training on all clients' samples together.
    passes : int
        Passes over the data that each training made, all by the same recipe.
    """

    federation: Federation
    alone: list[float]
    central: float
    passes: int

    @property
    def alone_mean(self) -> float:
        """Mean over the clients."""
        return mean(self.alone)


def sanity(
    *, dataset: str, partition: str, model: str, seed: int, settings: Settings, environment: Environment
) -> Sanity:
    """Train every client alone, and one model on everything, from the same start by the same recipe.

    The budget is that of a cell: `rounds` × `local_epochs` passes over the data trained on, a
    fresh shuffle in each; for the central training these are more steps, as its data is more.

    Parameters
    ----------
    dataset, partition, model : str
        Canonical texts.
    seed : int
        As in a cell: the same clients, the same initial weights.
    settings : Settings
        Clients, rounds, local epochs, batch size and SGD; the rest is not used.
    environment : Environment
        Where data lies and on which device to compute.
    """
    held = settings
    federation = federation_of(
        World(dataset, partition, seed, held.clients, held.root_size, held.validation), environment
    )
    built: Model = build.make("models", model).build(federation.image_shape, federation.n_classes)
    start = built.init(stream("init", model, seed)).to(federation.device)
    recipe = Recipe(
        lr=held.lr,
        batch_size=held.batch_size,
        local_epochs=held.local_epochs or 1,
        momentum=held.momentum,
        weight_decay=held.weight_decay,
    )
    together = replace(federation, clients=(np.sort(np.concatenate(federation.clients)),))
    with one_thread():
        alone, central = (
            _accuracies(built, who, start, recipe, seed, held.rounds) for who in (federation, together)
        )
    passes = held.rounds * (held.local_epochs or 1)
    return Sanity(federation=federation, alone=alone, central=central[0], passes=passes)


def _accuracies(
    model: Model, federation: Federation, start: Tensor, recipe: Recipe, seed: int, rounds: int
) -> list[float]:
    """Return the test accuracy of each client's model after `rounds` without any exchange."""
    clients = range(len(federation.clients))
    weights = start.expand(len(clients), -1)
    for round in range(rounds):
        jobs = make_jobs(federation, clients, recipe, seed, round)
        weights = weights + train(model, federation, weights, jobs, recipe)
        if not bool(torch.isfinite(weights).all()):
            break
    return [
        evaluate(model, row.contiguous(), federation.test_images, federation.test_labels).accuracy
        for row in weights
    ]
