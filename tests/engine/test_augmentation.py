"""Shifted and mirrored images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from robustbench_fl.api import Poison, Trigger
from robustbench_fl.api.build import make
from robustbench_fl.core.seeding import stream
from robustbench_fl.engine.augmentation import seen_from
from robustbench_fl.engine.batches import Batches
from robustbench_fl.engine.client_jobs import make_jobs, make_root_jobs
from robustbench_fl.engine.jobs import Recipe
from robustbench_fl.engine.training import train

DIGITS = ("digits", "dirichlet(alpha=1.0)", 8, 0)
RECIPE = Recipe(batch_size=16, local_epochs=2, padding=2)


def test_a_window_by_hand():
    image = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    dark = torch.tensor([-1.0])

    def seen(*view: int) -> list[list[float]]:
        return seen_from(image, torch.tensor(view), dark)[0].tolist()

    assert seen(0, 0, 0) == image[0].tolist()
    assert seen(0, 0, 1) == [[3, 2, 1], [6, 5, 4]]
    assert seen(1, 0, 0) == [[4, 5, 6], [-1, -1, -1]]
    assert seen(0, 1, 0) == [[2, 3, -1], [5, 6, -1]]
    assert seen(-1, 1, 1) == [[-1, -1, -1], [-1, 3, 2]]
    assert seen(5, 0, 0) == [[-1, -1, -1], [-1, -1, -1]]


def test_every_channel_is_moved_alike_and_meets_its_own_black():
    image = torch.arange(12.0).view(3, 2, 2)
    seen = seen_from(image, torch.tensor([0, 1, 0]), torch.tensor([-1.0, -2.0, -3.0]))
    assert seen[:, 0].tolist() == [[1, -1], [5, -2], [9, -3]]


def test_black_is_what_a_black_image_becomes(world):
    federation = world(*DIGITS)
    mean, std = federation.arrays.mean[0], federation.arrays.std[0]
    assert torch.allclose(federation.dark, torch.tensor([-mean / std]), atol=1e-6)


def test_moves_are_uniform_and_half_the_images_are_mirrored(world):
    federation = world(*DIGITS)
    jobs = make_jobs(federation, range(8), replace(RECIPE, local_epochs=20), 0, 0)
    views = jobs.views[jobs.samples >= 0].numpy()
    assert len(views) > 20_000
    for i in (0, 1):
        values, counts = np.unique(views[:, i], return_counts=True)
        assert values.tolist() == [-2, -1, 0, 1, 2]
        assert np.abs(counts / len(views) - 0.2).max() < 0.02
    assert abs(views[:, 2].mean() - 0.5) < 0.02


def test_draws_depend_on_seed_round_and_client_alone(world):
    federation = world(*DIGITS)
    alone = make_jobs(federation, [3], RECIPE, 0, 4).views[0]
    among = make_jobs(federation, [5, 3, 0], RECIPE, 0, 4).views[1, : len(alone)]
    assert torch.equal(alone, among)
    assert not torch.equal(alone, make_jobs(federation, [3], RECIPE, 0, 5).views[0])
    assert not torch.equal(alone, make_jobs(federation, [3], RECIPE, 1, 4).views[0])
    assert make_root_jobs(federation, RECIPE, 0, 4).views is not None
    assert make_jobs(federation, [3], Recipe(), 0, 4).views is None


def test_draws_of_a_batch_size_are_the_same_whatever_the_data(world):
    federation, recipe = world(*DIGITS), replace(RECIPE, batch_size=1000)
    views = make_jobs(federation, [3], recipe, 0, 4).views[0].numpy()
    rng = stream("augment", 0, 4, 3)
    moved, mirrored = rng.integers(-2, 3, (2, 1000, 2)), rng.integers(0, 2, (2, 1000))
    width = views.shape[1]
    assert width < 1000
    assert (views[..., :2] == moved[:, :width]).all()
    assert (views[..., 2] == mirrored[:, :width]).all()


def test_numbers_do_not_depend_on_chunks_nor_on_who_else_trains(world):
    federation = world(*DIGITS)
    model = make("models", "mlp(hidden=[16])").build(federation.image_shape, 10)
    start = model.init(stream("test"))
    jobs = make_jobs(federation, range(8), RECIPE, 0, 0)
    whole = train(model, federation, start, jobs, RECIPE, engine="stacked", chunk=8)
    for chunk in (1, 3):
        assert torch.equal(
            whole, train(model, federation, start, jobs, RECIPE, engine="stacked", chunk=chunk)
        )
    few = train(model, federation, start, make_jobs(federation, [6, 1], RECIPE, 0, 0), RECIPE)
    assert torch.equal(few, whole[[6, 1]])


def test_triggers_stay_where_they_are(world):
    federation = world(*DIGITS)
    poison = Poison(triggers=(Trigger(pixels=((0, 1),)),), target=3)
    images = Batches(federation, make_jobs(federation, [2], RECIPE, 0, 0, poison, [2])).images(0, 1, 0)
    assert (images[0, :, 0, 0, 1] == federation.bright).all()
