"""Attackers' views of small, hand-made rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robustbench_fl.api import Attack, AttackerView, AttackSpec, Knowledge, Poison
from robustbench_fl.api.model import Model

LAYERS = (("weight", (2, 2)), ("bias", (1,)))


class Pixels(Model):
    """A network with any number d of weights, one a pixel: tanh of their products, summed by class."""

    def __init__(self, d: int) -> None:
        super().__init__((1, 8, 8), 10, (("weight", (d,)),))

    def forward(self, tensors: Any, images: Tensor) -> Tensor:
        (weight,) = tensors
        places = torch.arange(len(weight))
        hidden = torch.tanh(images.flatten(1)[:, places % 64] * weight)
        return images.new_zeros(len(images), 10).index_add(1, places % 10, hidden)


def own_data(j: int) -> tuple[Tensor, Tensor]:
    """Return twelve noisy images and their classes, other ones for every client."""
    noise = np.random.default_rng(j).normal(size=(12, 1, 8, 8)).astype(np.float32)
    return torch.from_numpy(noise), (torch.arange(12) + j) % 10


class Round:
    """A round with m malicious and h honest clients; withheld inputs are poisoned with NaN."""

    def __init__(self, own: Tensor, honest: Tensor, layers: Any = None) -> None:
        self.own = own
        self.honest = honest
        d = own.shape[1]
        self.layers = layers or (("weight", (d,)),)
        self.params = torch.linspace(-1, 1, d)
        self.initial = torch.linspace(2, 3, d)
        self.last_step: Tensor | None = None
        self.train: Callable[[Poison | None], Tensor] = lambda poison: self.own
        """What other training gives: by default what was trained already."""
        self.spec = AttackSpec(
            n_clients=len(own) + len(honest),
            n_malicious=len(own),
            n_params=d,
            layer_shapes=self.layers,
            n_classes=10,
            image_shape=(1, 8, 8),
        )

    def view(self, attack: Attack, seed: int = 0, round: int = 0, defence: Any = None) -> AttackerView:
        def seen(rows: Tensor, level: Knowledge) -> Tensor:
            return rows if attack.knowledge >= level else torch.full_like(rows, torch.nan)

        return AttackerView(
            attack.knowledge,
            round=round,
            rng=np.random.default_rng(seed),
            n_participants=len(self.own) + len(self.honest),
            client_ids=tuple(range(100, 100 + len(self.own))),
            spec=self.spec,
            model=Pixels(self.own.shape[1]),
            params=self.params,
            initial_params=self.initial,
            last_step=self.last_step,
            defence=defence,
            own=seen(self.own, Knowledge.OWN),
            train=lambda poison: seen(self.train(poison), Knowledge.OWN),
            own_data=own_data,
            colluders=seen(self.own, Knowledge.COLLUDERS),
            honest=seen(self.honest, Knowledge.ALL),
            honest_ids=tuple(range(len(self.honest))),
        )

    def craft(self, attack: Attack, seed: int = 0, **kwargs: Any) -> Tensor:
        rows, _ = attack.craft(self.view(attack, seed, **kwargs), attack.init_state(self.spec))
        return rows


@pytest.fixture
def make_round() -> Callable[..., Round]:
    """Return ``make_round(own, honest)`` for nested lists or tensors."""

    def make(own: Any, honest: Any, **kwargs: Any) -> Round:
        own, honest = (torch.as_tensor(rows, dtype=torch.float32) for rows in (own, honest))
        return Round(own, honest, **kwargs)

    return make


@pytest.fixture
def random_round() -> Round:
    """Return 6 malicious and 14 honest updates with 40 coordinates around a common part."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(20, 40)) + rng.normal(size=40)
    rows = torch.from_numpy(rows.astype(np.float32))
    return Round(rows[:6], rows[6:])
