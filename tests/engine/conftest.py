from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from robustbench_fl.api.build import make
from robustbench_fl.data.federation import Federation, make_federation


@functools.lru_cache
def _world(dataset: str, partition: str, n_clients: int, seed: int) -> Federation:
    arrays = make("datasets", dataset).load(Path())
    return make_federation(
        arrays,
        make("partitions", partition),
        dataset_text=dataset,
        partition_text=partition,
        n_clients=n_clients,
        seed=seed,
        root_size=20,
    )


@pytest.fixture
def world() -> Callable[..., Federation]:
    torch.set_num_threads(1)
    return _world
