"""The race gives other simulators the networks of this project, as plain modules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from robustbench_fl.api.build import make
from robustbench_fl.core.seeding import stream

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="needs the source checkout")


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("race.networks")
    for name in [name for name in sys.modules if name.partition(".")[0] == "race"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["mlp", "lenet5", "cnn"])
def test_a_module_of_the_race_is_the_network_of_its_text(name: str, networks: ModuleType) -> None:
    text, build = networks.NETWORKS[name]
    model = make("models", text).build((3, 32, 32), 10)
    params, module = model.init(stream("race", name)), build()
    networks.load(module, params)
    assert torch.equal(networks.flat(module), params)
    images = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(module(images), model.apply(params, images), atol=1e-5)
