"""The clients' training in the hands of a server that simulates nobody: on root data, and on made data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydantic
import torch
from torch import Tensor

from robustbench_fl.api import ClientRecipe, Model, RootData, UsageError, did_you_mean
from robustbench_fl.api.recipes import choice
from robustbench_fl.core.settings import SETTINGS, Settings
from robustbench_fl.engine.client_jobs import drawn_jobs
from robustbench_fl.engine.jobs import Jobs, Recipe
from robustbench_fl.engine.training import train
from robustbench_fl.engine.virtual_clients import MadeData, virtual_jobs

OWN_TRAINING = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A user's training: ``train(params [d], inputs [s, ...], labels [s]) -> Tensor [d]``, what it changed."""
_OF_CLIENTS = ("local_epochs", "local_steps", "batch_size", "lr", "momentum", "weight_decay", "proximal_mu")


def settings_of(recipe: Mapping[str, Any]) -> Settings:
    """Return settings with the clients' `recipe` in them.

    Raises
    ------
    UsageError
        If a name or a value is none of theirs, or the learning rate is missing.
    """
    checked: dict[str, Any] = {}
    if not isinstance(recipe, Mapping):
        raise UsageError(
            f"recipe must be settings such as {{'lr': 0.05}}, or a function; got {recipe!r:.80}."
        )
    for name, value in recipe.items():
        if name not in _OF_CLIENTS:
            raise UsageError(
                f"recipe has no {name!r}. {did_you_mean(name, _OF_CLIENTS)}".rstrip()
                + f" It may say: {', '.join(_OF_CLIENTS)}."
            )
        if isinstance(value, bool):
            raise UsageError(f"recipe: {name} = {value} must be a number.")
        try:
            checked[name] = pydantic.TypeAdapter(SETTINGS[name].hint).validate_python(value)
        except pydantic.ValidationError as error:
            raise UsageError(f"recipe: {name} = {value!r}: {error.errors()[0]['msg']}.") from None
    if "lr" not in checked:
        raise UsageError("recipe lacks 'lr', the clients' learning rate.")
    if "local_steps" in checked:
        if "local_epochs" in checked:
            raise UsageError("recipe says both local_epochs and local_steps; give one.")
        checked["local_epochs"] = None
    return Settings(**checked)


@dataclass(frozen=True)
class _Like:
    """What of real data made data must know; its brightness is only asked of shifted or marked images."""

    device: str
    bright: Tensor
    dark: Tensor

    def images(self, indices: Tensor) -> Tensor:
        raise NotImplementedError

    def labels(self, indices: Tensor) -> Tensor:
        raise NotImplementedError


class ServerTraining:
    """Trains as the clients do, by their settings or by a function of the user's.

    Parameters
    ----------
    model : Model, optional
        The network; a function of the user's may do without.
    recipe : mapping or callable
        Settings such as ``{"lr": 0.1, "local_epochs": 1, "batch_size": 32}``, or :data:`OWN_TRAINING`.
    seed : int
        Of the batches.
    device : str
        Where tensors are.
    data : pair of Tensor, optional
        Inputs and labels that will be trained on.

    Raises
    ------
    UsageError
        If the settings cannot train the network, or not on `data`.
    """

    def __init__(
        self,
        model: Model | None,
        recipe: Mapping[str, Any] | OWN_TRAINING,
        seed: int,
        device: str,
        data: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self._model, self._seed, self._device = model, seed, device
        self._own = recipe if callable(recipe) else None
        self._recipe: Recipe | None = None
        if not callable(recipe):
            settings = settings_of(recipe)
            padding = getattr(choice("augment", settings.augment), "padding", None)
            self._recipe = Recipe(**vars(settings), padding=padding)
            if model is None:
                raise UsageError(
                    "recipe says how to train, not what: give model too, or a function "
                    "train(params, inputs, labels) -> change as recipe."
                )
            if getattr(model, "has_buffers", False):
                raise UsageError(
                    "The network keeps buffers (batch normalisation?), which training by settings does not "
                    "move: give a function train(params, inputs, labels) -> change as recipe."
                )
            if data is not None:
                _require_classes(data[1], model.n_classes)

    def root(self, images: Tensor, labels: Tensor, start: Tensor | None, round: int) -> RootData:
        """Return the server's data; its update from `start` [d] is trained once, when it is asked for."""
        cache: list[Tensor] = []

        def update() -> Tensor:
            if not cache:
                cache.append(self._on_root(images, labels, _known(start), round))
            return cache[0]

        return RootData(images=images, labels=labels, train=update)

    def client_recipe(self, start: Tensor | None, round: int, samples: int) -> ClientRecipe:
        """Return the training of `round` from `start` [d], of clients with so many samples."""

        def train_on(images: Tensor, labels: Tensor) -> Tensor:
            if self._recipe is None:
                pairs = zip(images, labels, strict=True)
                return torch.stack([self._by_function(_known(start), *pair) for pair in pairs])
            data = self._made(images, labels)
            jobs = virtual_jobs(data, self._recipe, self._seed, round)
            return self._by_settings(data, _known(start), jobs)

        return ClientRecipe(samples=samples, train=train_on)

    def _on_root(self, images: Tensor, labels: Tensor, start: Tensor, round: int) -> Tensor:
        if self._recipe is None:
            return self._by_function(start, images, labels)
        # The stream of a cell's own root training, which permutes places in the pool.
        pool = np.arange(len(labels), dtype=np.int64)
        jobs = drawn_jobs([pool], ["root"], self._recipe, self._seed, round, self._device)
        return self._by_settings(self._made(images[None], labels[None]), start, jobs)[0]

    def _made(self, images: Tensor, labels: Tensor) -> MadeData:
        unused = torch.zeros(1, device=self._device)
        return MadeData(images, labels, _Like(self._device, unused, unused))

    def _by_settings(self, data: MadeData, start: Tensor, jobs: Jobs) -> Tensor:
        assert self._model is not None
        assert self._recipe is not None
        return train(self._model, data, start, jobs, self._recipe)

    def _by_function(self, start: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        assert self._own is not None
        given = start.clone()
        change = self._own(given, images, labels)
        if not torch.equal(given, start):
            raise UsageError(
                "The recipe changed its params in place, so that what it returns is no change from them. "
                "Train on a copy: vector_to_parameters(params.clone(), net.parameters())."
            )
        if not isinstance(change, Tensor) or change.shape != start.shape:
            found = f"[{', '.join(map(str, change.shape))}]" if isinstance(change, Tensor) else type(change)
            raise UsageError(
                f"The recipe returned {found}; return what the training changed, a Tensor [{len(start)}]."
            )
        return change.detach().to(start)


def _known(start: Tensor | None) -> Tensor:
    if start is None:
        raise UsageError("Training starts at the global parameters: give params.")
    return start


def _require_classes(labels: Tensor, classes: int) -> None:
    if (most := int(labels.max())) >= classes:
        raise UsageError(
            f"The labels of root go up to {most}; the network has {classes} outputs, for the classes "
            f"0 to {classes - 1}."
        )
