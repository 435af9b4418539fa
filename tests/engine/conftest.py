from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from robustbench_fl.api.build import make
from robustbench_fl.core.cell import World
from robustbench_fl.core.settings import Settings
from robustbench_fl.data.federation import Federation, make_federation
from robustbench_fl.data.spread import spread


@functools.lru_cache
def _world(dataset: str, partition: str, n_clients: int, seed: int) -> Federation:
    arrays = make("datasets", dataset).load(Path())
    world = World(dataset, partition, seed, n_clients, root_size=20, validation=Settings.validation)
    return make_federation(arrays, spread(world, arrays))


@pytest.fixture
def world() -> Callable[..., Federation]:
    torch.set_num_threads(1)
    return _world
