"""The local training of a cell's clients, and of its server, in any round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from robustbench_fl.api import ClientRecipe, Poison, RootData
from robustbench_fl.api.model import Model
from robustbench_fl.api.recipes import choice
from robustbench_fl.core.settings import Settings
from robustbench_fl.data.federation import Federation
from robustbench_fl.engine.batches import TrainingData
from robustbench_fl.engine.client_jobs import make_jobs, make_root_jobs
from robustbench_fl.engine.jobs import Jobs, Recipe
from robustbench_fl.engine.room import Room
from robustbench_fl.engine.training import Engine, train
from robustbench_fl.engine.virtual_clients import MadeData, virtual_jobs


@dataclass(frozen=True, kw_only=True)
class LocalTraining:
    """Trains by the recipe of one cell.

    Parameters
    ----------
    model : Model
        The network.
    federation : Federation
        Who holds which samples.
    settings : Settings
        The recipe, and how many rounds there are.
    seed : int
        The cell's.
    engine : {"auto", "stacked", "loop"}
        How clients are trained; the numbers agree to float tolerance.
    chunk_divisor : int
        Divides how many clients are trained as one batch: less memory, on a CPU the same numbers.
    """

    model: Model
    federation: Federation
    settings: Settings
    seed: int
    engine: Engine = "auto"
    chunk_divisor: int = 1
    _room: Room = field(default_factory=Room, init=False, repr=False, compare=False)

    @cached_property
    def _recipe(self) -> Recipe:
        padding = getattr(choice("augment", self.settings.augment), "padding", None)
        return Recipe(**vars(self.settings), padding=padding)

    def recipe(self, round: int) -> Recipe:
        """Return the clients' recipe with the learning rate of `round`."""
        factor = choice("lr_schedule", self.settings.lr_schedule).at(round, self.settings.rounds)
        return replace(self._recipe, lr=factor * self._recipe.lr)

    def updates(
        self,
        start: Tensor,
        round: int,
        clients: Sequence[int],
        poison: Poison | None = None,
        poisoned: Sequence[int] = (),
    ) -> Tensor:
        """Return what the training of `clients` changes, [k, d].

        Parameters
        ----------
        start : Tensor [d] or [k, d]
            Where all of them start, or each.
        round : int
            From 0.
        clients : sequence of int [k]
            Who trains.
        poison, poisoned
            As in :func:`~robustbench_fl.engine.client_jobs.make_jobs`.
        """
        if not len(clients):
            return start.new_zeros(0, start.shape[-1])
        recipe = self.recipe(round)
        jobs = make_jobs(self.federation, clients, recipe, self.seed, round, poison, poisoned)
        return self._train(self.federation, start, jobs, recipe)

    def root(self, start: Tensor, round: int) -> RootData:
        """Return the server's data; its update from `start` [d] is trained once, when it is asked for."""
        cache: list[Tensor] = []

        def update() -> Tensor:
            if not cache:
                recipe = self.recipe(round)
                jobs = make_root_jobs(self.federation, recipe, self.seed, round)
                cache.append(self._train(self.federation, start, jobs, recipe)[0])
            return cache[0]

        images, labels = self.federation.root_data()
        return RootData(images=images, labels=labels, train=update)

    def client_recipe(self, start: Tensor, round: int, samples: int) -> ClientRecipe:
        """Return the clients' training of `round` from `start` [d], of clients with so many samples."""
        recipe = self.recipe(round)

        def train_on(images: Tensor, labels: Tensor) -> Tensor:
            data = MadeData(images, labels, self.federation)
            return self._train(data, start, virtual_jobs(data, recipe, self.seed, round), recipe)

        return ClientRecipe(samples=samples, train=train_on)

    def _train(self, data: TrainingData, start: Tensor, jobs: Jobs, recipe: Recipe) -> Tensor:
        return train(self.model, data, start, jobs, recipe, self.engine, None, self.chunk_divisor, self._room)


def rows_among(rows: Tensor, places: Sequence[int], n: int) -> Tensor:
    """Return [n, d] with `rows` [k, d] at `places` [k] and zeros elsewhere."""
    if len(places) == n:
        return rows
    whole = rows.new_zeros(n, rows.shape[1])
    whole[torch.tensor(places, device=rows.device, dtype=torch.int64)] = rows
    return whole
