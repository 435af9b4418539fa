"""The race's networks as plain modules: parameters in the order and shape of this project's flat vectors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

CLASSES, CHANNELS, SIDE = 10, 3, 32


class Cnn(nn.Sequential):
    """Two 5×5 convolutions of 32 and 64 channels that keep the size, a layer of 512."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(CHANNELS, 32, 5, padding=2), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(32, 64, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(64 * (SIDE // 4) ** 2, 512), nn.ReLU(), nn.Linear(512, CLASSES)),
        )


class LeNet5(nn.Sequential):
    """Two 5×5 convolutions of 6 and 16 channels, layers of 120 and 84."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(CHANNELS, 6, 5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, CLASSES)),
        )


class Mlp(nn.Sequential):
    """One hidden layer of 200."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(CHANNELS * SIDE**2, 200), nn.ReLU(), nn.Linear(200, CLASSES))


NETWORKS: dict[str, tuple[str, Callable[[], nn.Sequential]]] = {
    "mlp": ("mlp(hidden=[200])", Mlp),
    "lenet5": ("lenet5", LeNet5),
    "cnn": ("cnn", Cnn),
}
"""This project's text of each network, and the module that is equal to it."""


def flat(module: nn.Module) -> Tensor:
    """Return a copy of the parameters [d]."""
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


def load(module: nn.Module, params: Tensor) -> None:
    """Copy `params` [d] into the module."""
    with torch.no_grad():
        low = 0
        for p in module.parameters():
            p.copy_(params[low : low + p.numel()].view_as(p))
            low += p.numel()
