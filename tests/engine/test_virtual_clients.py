"""Virtual clients train as real ones do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_fl.api import ClientRecipe
from robustbench_fl.core.errors import UsageError
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import canonical, expand
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import prepared


def simulation(**settings: Any) -> Simulation:
    point = {
        "aggregator": "mean",
        "attack": "none",
        "dataset": "digits",
        "clients": 60,
        "root_size": 100,
        **settings,
    }
    cell = expand(canonical(make_sweep({}, {"seeds": [0], **point}, "test")))[0].cell
    return prepared(cell, Environment(data_dir=Path("unused")))


def recipe_of(at: Simulation, clients: list[int]) -> ClientRecipe:
    counts = at.sample_counts[torch.tensor(clients)]
    return at.training.client_recipe(at.params, at.round, int(counts.median()))


def by_hand(at: Simulation, images: Tensor, labels: Tensor) -> Tensor:
    leaf = at.params.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(at.model.apply(leaf, images), labels)
    return -at.settings.lr * torch.autograd.grad(loss, leaf)[0]


def test_one_batch_is_one_step() -> None:
    at = simulation(batch_size=8)
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(3, 8, 1, 8, 8, generator=generator), torch.arange(24).view(3, 8) % 10
    found = recipe_of(at, [0]).train(images, labels)
    for row in range(3):
        torch.testing.assert_close(found[row], by_hand(at, images[row], labels[row]), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "settings", [{}, {"local_epochs": 2, "momentum": 0.9}, {"weight_decay": 0.1}, {"lr_schedule": "cosine"}]
)
def test_on_a_clients_own_data_it_does_what_the_client_does(settings: dict[str, Any]) -> None:
    at = simulation(batch_size=64, **settings)  # one batch a pass: the order of the samples is no matter
    at.round = 3
    expected = at.training.updates(at.params, 3, range(6))[4]
    own = torch.from_numpy(at.federation.clients[4])
    found = recipe_of(at, [4]).train(at.federation.images(own)[None], at.federation.labels(own)[None])
    torch.testing.assert_close(found[0], expected, rtol=1e-3, atol=1e-6)


def test_the_recipe_tells_the_median_clients_size() -> None:
    at = simulation()
    at.sample_counts = torch.tensor([5.0, 9.0, 7.0, 100.0, 1.0])
    assert recipe_of(at, [0, 1, 2]).samples == 7


def test_shifted_and_mirrored_images_are_part_of_it() -> None:
    at = simulation(augment="crop_flip(padding=1)", batch_size=8)
    images, labels = torch.randn(1, 8, 1, 8, 8), torch.arange(8)[None]
    found = recipe_of(at, [0]).train(images, labels)
    assert not torch.allclose(found[0], by_hand(at, images[0], labels[0]), rtol=1e-2)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="need a label an image"):
        recipe_of(simulation(), [0]).train(torch.zeros(2, 8, 1, 8, 8), torch.zeros(2, 7, dtype=torch.int64))
