"""A tiny federation for the checks: real local training of a real network, made once.

Twelve clients classify noisy 8×8 images into three classes with a small perceptron. Their updates
have what random numbers lack, a common direction and layers of different size, so that rules that
look at the model find what they look for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from robustbench_fl.api import Poison, RareImages, Stamp
from robustbench_fl.api.model import Model
from robustbench_fl.core.seeding import stream, torch_generator
from robustbench_fl.models.zoo.mlp import MlpModel

N_CLIENTS = 12
N_ROUNDS = 4
IMAGE_SHAPE = (1, 8, 8)
N_CLASSES = 3
BRIGHT = 3.0
"""The brightest value of a pixel."""
_SAMPLES, _STEPS, _RATE = 30, 5, 0.2


@dataclass(frozen=True)
class Round:
    """What honest training gives in one round.

    Parameters
    ----------
    params : Tensor [d]
        Global parameters before it.
    last_step : Tensor [d] or None
        Their last change.
    updates : Tensor [12, d]
        One row a client, in the order of the client ids 0 … 11.
    root_update : Tensor [d]
        The same training on the server's clean data.
    """

    params: Tensor
    last_step: Tensor | None
    updates: Tensor
    root_update: Tensor


@cache
def network() -> Model:
    """Return the network: 64-6-3, 411 parameters."""
    return MlpModel(IMAGE_SHAPE, N_CLASSES, (6,))


@cache
def root_data() -> tuple[Tensor, Tensor]:
    """Return the server's clean images [30, 1, 8, 8] and labels [30]."""
    return _data(N_CLIENTS)


@cache
def sample_counts() -> Tensor:
    """Return how many samples each client claims, all different."""
    return torch.arange(20, 20 + 5 * N_CLIENTS, 5, dtype=torch.float32)


def own_data(client: int) -> tuple[Tensor, Tensor]:
    """Return the images [30, 1, 8, 8] and labels [30] that `client` trains on."""
    return _data(client)


def trained_by(clients: tuple[int, ...], round: int, poison: Poison | None) -> Tensor:
    """Return what the training of malicious `clients` gives in `round` if they poison it so, [m, d].

    Every step sees the client's whole data; a pass is a step.
    """
    params, rows = history()[round].params, []
    for j, client in enumerate(clients):
        images, labels = own_data(client)
        rows.append(_trained(params, images, labels, poison, j))
    return torch.stack(rows) if rows else params.new_zeros(0, len(params))


@cache
def history() -> tuple[Round, ...]:
    """Return four rounds of plain federated averaging; nobody may change them."""
    params = network().init(stream("conformance", "init"))
    last_step: Tensor | None = None
    rounds: list[Round] = []
    for _ in range(N_ROUNDS):
        updates = torch.stack([_trained(params, *_data(client)) for client in range(N_CLIENTS)])
        rounds.append(Round(params, last_step, updates, _trained(params, *root_data())))
        last_step = updates.mean(0)
        params = params + last_step
    return tuple(rounds)


@cache
def _data(client: int) -> tuple[Tensor, Tensor]:
    means = torch.randn(N_CLASSES, 64, generator=torch_generator(stream("conformance", "means")))
    rng = stream("conformance", "data", client)
    labels = torch.arange(_SAMPLES) % N_CLASSES
    # Mild label skew: each client has more of one class.
    labels[: _SAMPLES // 3] = client % N_CLASSES
    noise = torch.randn(_SAMPLES, 64, generator=torch_generator(rng))
    return (means[labels] + noise).view(-1, *IMAGE_SHAPE), labels


def trained_many(params: Tensor, images: Tensor, labels: Tensor) -> Tensor:
    """Return the updates [k, d] of k virtual clients with `images` [k, s, ...] and `labels` [k, s]."""
    return torch.stack([_trained(params, *data) for data in zip(images, labels, strict=True)])


def _trained(
    params: Tensor, images: Tensor, labels: Tensor, poison: Poison | None = None, rank: int = 0
) -> Tensor:
    poison = poison or Poison()
    weights, bad = params, _poisoned(images, labels, poison, rank)
    for step in range(_STEPS * poison.repeats):
        seen = bad if poison.passes == "all" or step % 2 == 0 else (images, labels)
        leaf = weights.detach().requires_grad_()
        loss = functional.cross_entropy(network().apply(leaf, seen[0]), seen[1])
        (gradient,) = torch.autograd.grad(loss, leaf)
        if poison.gradient_mask is not None:
            gradient = gradient * poison.gradient_mask
        weights = weights - _RATE * gradient
        if poison.radius is not None:
            drift = weights - params
            weights = params + drift * (poison.radius[rank] / drift.norm().clamp(min=1e-12)).clamp(max=1)
    return (weights - params).detach()


def _poisoned(images: Tensor, labels: Tensor, poison: Poison, rank: int) -> tuple[Tensor, Tensor]:
    """Return what is learned in a poisoned pass: labels mapped, a share of the images triggered."""
    if poison.label_map is not None:
        labels = torch.tensor(poison.label_map)[labels]
    if poison.triggers:
        images, labels = images.clone(), labels.clone()
        hit = round(poison.share * len(images))
        trigger = poison.triggers[rank % len(poison.triggers)]
        if isinstance(trigger, RareImages):
            rare = images[labels == trigger.source]
            images[:hit] = rare[torch.arange(hit) % len(rare)]
        elif isinstance(trigger, Stamp):
            images[:hit] = trigger.change(images[:hit])
        else:
            rows, columns = zip(*trigger.pixels, strict=True)
            images[:hit, :, list(rows), list(columns)] = BRIGHT
        labels[:hit] = poison.target
    return images, labels
