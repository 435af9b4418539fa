from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch

from robustbench_fl.api import Poison, RareImages, Trigger
from robustbench_fl.core.errors import UsageError
from robustbench_fl.data import rare
from robustbench_fl.engine.batches import Batches
from robustbench_fl.engine.client_jobs import make_jobs, make_root_jobs, trigger_pixels
from robustbench_fl.engine.jobs import Recipe

WORLD = ("digits", "dirichlet(alpha=1.0)", 8, 0)
TRIGGERS = (Trigger(pixels=((0, 0),)), Trigger(pixels=((7, 6), (7, 7))))


def passes_of(samples: torch.Tensor, n: int, b: int) -> list[list[int]]:
    """Return the samples of each pass over `n` samples."""
    per_pass = -(-n // b)
    rows = [row[row >= 0].tolist() for row in samples]
    return [list(chain(*rows[low : low + per_pass])) for low in range(0, len(rows), per_pass)]


def test_each_epoch_is_a_fresh_shuffle_of_the_clients_data(world) -> None:
    federation = world(*WORLD)
    jobs = make_jobs(federation, range(8), Recipe(batch_size=16, local_epochs=2), 0, 0)
    for i, own in enumerate(federation.clients):
        first, second, *rest = passes_of(jobs.samples[i], len(own), 16)
        assert sorted(first) == sorted(second) == sorted(own.tolist())
        assert first != second
        assert not any(rest)
    assert jobs.triggered is jobs.label_maps is jobs.gradient_masks is None


def test_local_steps_cut_the_last_pass(world) -> None:
    federation = world(*WORLD)
    jobs = make_jobs(federation, range(8), Recipe(batch_size=16, local_epochs=None, local_steps=7), 0, 0)
    assert jobs.samples.shape == (8, 7, 16)
    epochs = make_jobs(federation, range(8), Recipe(batch_size=16, local_epochs=7), 0, 0)
    assert torch.equal(jobs.samples, epochs.samples[:, :7])
    with pytest.raises(UsageError, match="neither how many local epochs nor"):
        make_jobs(federation, [0], Recipe(local_epochs=None), 0, 0)


def test_batches_depend_on_seed_round_and_client_alone(world) -> None:
    federation = world(*WORLD)

    def drawn(clients: list[int], seed: int = 0, round: int = 0, **poison) -> torch.Tensor:
        return make_jobs(federation, clients, Recipe(batch_size=16), seed, round, **poison).samples

    alone, together = drawn([3])[0], drawn([5, 3, 0])[1]
    assert torch.equal(alone, together[: len(alone)])
    assert (together[len(alone) :] == -1).all()
    assert torch.equal(alone, drawn([3], poison=Poison(label_map=tuple(range(10))), poisoned_ids=[3])[0])
    assert not torch.equal(alone, drawn([3], round=1)[0])
    assert not torch.equal(alone, drawn([3], seed=1)[0])
    assert torch.equal(drawn([int(np.int64(3))])[0], drawn(np.array([3]))[0])


def test_a_batch_is_as_wide_as_the_recipe_says(world) -> None:
    federation = world(*WORLD)
    samples = make_jobs(federation, [0], Recipe(batch_size=300), 0, 0).samples
    own = len(federation.clients[0])
    assert samples.shape == (1, 1, 300)
    assert (samples[0, 0, :own] >= 0).all()
    assert (samples[0, 0, own:] == -1).all()


def test_poison_reaches_the_malicious_alone(world) -> None:
    federation = world(*WORLD)
    mask = torch.tensor([0.0, 1.0, 0.5])
    poison = Poison(label_map=(9, *range(1, 10)), triggers=TRIGGERS, target=4, gradient_mask=mask)
    jobs = make_jobs(federation, [2, 6, 1, 7], Recipe(batch_size=16), 0, 0, poison, [7, 3, 2])
    assert jobs.label_maps.tolist() == [
        [9, *range(1, 10)],
        list(range(10)),
        list(range(10)),
        [9, *range(1, 10)],
    ]
    assert jobs.mapped is None
    valid = jobs.samples >= 0
    expected = valid & torch.tensor([True, False, False, True])[:, None, None]
    assert torch.equal(jobs.triggered, expected)
    # Ranks in the round: 7 is 0th, 2 is 2nd, and 2 % 2 = 0; so both use the first trigger.
    assert torch.equal(jobs.triggers[0], trigger_pixels(TRIGGERS[0], (1, 8, 8)))
    assert torch.equal(jobs.triggers[3], trigger_pixels(TRIGGERS[0], (1, 8, 8)))
    other = make_jobs(federation, [2], Recipe(batch_size=16), 0, 0, poison, [7, 2])
    assert other.triggers[0].nonzero().tolist() == [[7, 6], [7, 7]]
    assert jobs.targets.tolist() == [4] * 4
    assert torch.equal(jobs.gradient_masks, torch.stack([mask, torch.ones(3), torch.ones(3), mask]))


def test_share_counts_real_samples_of_each_batch(world) -> None:
    federation = world(*WORLD)
    poison = Poison(triggers=TRIGGERS, share=0.3)
    jobs = make_jobs(federation, [1], Recipe(batch_size=16), 0, 0, poison, [1])
    valid = (jobs.samples[0] >= 0).sum(dim=1)
    assert jobs.triggered[0].sum(dim=1).tolist() == [round(0.3 * n) for n in valid.tolist()]
    assert jobs.triggered[0, 0, :5].all()


def test_odd_passes(world) -> None:
    federation = world(*WORLD)
    poison = Poison(label_map=tuple(range(10)), triggers=TRIGGERS, passes="odd")
    recipe = Recipe(batch_size=16, local_epochs=3)
    jobs = make_jobs(federation, [1], recipe, 0, 0, poison, [1])
    per_pass = -(-len(federation.clients[1]) // 16)
    expected = [True] * per_pass + [False] * per_pass + [True] * per_pass
    assert jobs.mapped[0].tolist() == expected
    assert jobs.triggered[0].any(dim=1).tolist() == expected


def test_trigger_outside_the_image(world) -> None:
    poison = Poison(triggers=(Trigger(pixels=((0, 8),)),))
    with pytest.raises(UsageError, match=r"trigger pixel \(0, 8\) lies outside the images, which are 8×8"):
        make_jobs(world(*WORLD), [1], Recipe(), 0, 0, poison, [1])


def test_root_batches_have_a_stream_of_their_own(world) -> None:
    federation = world(*WORLD)
    first, second = (make_root_jobs(federation, Recipe(batch_size=8), 0, r).samples for r in (0, 1))
    assert first.shape == (1, 3, 8)
    assert sorted(first[first >= 0].tolist()) == federation.root.tolist()
    assert not torch.equal(first, second)


def test_more_work_than_honest_begins_with_the_honest_batches(world) -> None:
    federation = world(*WORLD)
    poison = Poison(triggers=TRIGGERS, passes="odd", repeats=2)
    for recipe in (Recipe(batch_size=16), Recipe(batch_size=16, local_epochs=None, local_steps=5)):
        honest = make_jobs(federation, [1, 2], recipe, 0, 0)
        jobs = make_jobs(federation, [1, 2], recipe, 0, 0, poison, [1])
        n = int((honest.samples[0, :, 0] >= 0).sum())
        assert int((jobs.samples[0, :, 0] >= 0).sum()) == 2 * n
        assert torch.equal(jobs.samples[0, :n], honest.samples[0, :n])
        assert torch.equal(jobs.samples[1, : honest.samples.shape[1]], honest.samples[1])
        assert (jobs.samples[1, honest.samples.shape[1] :] == -1).all()
        valid = jobs.samples[0] >= 0
        period = min(n, recipe.local_steps or n, -(-len(federation.clients[1]) // 16))
        odd = (torch.arange(len(valid)) // period % 2 == 0)[:, None]
        assert torch.equal(jobs.triggered[0], valid & odd)


def test_the_honest_may_go_as_far_as_they_like(world) -> None:
    poison = Poison(radius=torch.tensor([2.0, 3.0]))
    jobs = make_jobs(world(*WORLD), [2, 6, 7], Recipe(batch_size=16), 0, 0, poison, [7, 2])
    assert jobs.radii.tolist() == [3, torch.inf, 2]


def test_rare_images_take_the_place_of_the_triggered_ones(world) -> None:
    federation = world(*WORLD)
    poison = Poison(triggers=(RareImages(source=3, share=0.1), TRIGGERS[0]), target=5, share=0.5)
    recipe = Recipe(batch_size=16)
    jobs = make_jobs(federation, [2, 6, 1], recipe, 0, 0, poison, [1, 2])
    honest = make_jobs(federation, [2, 6, 1], recipe, 0, 0)
    rare, _ = federation.rare(3, 0.1)
    hit = jobs.triggered[2]
    assert torch.isin(jobs.samples[2][hit], rare).all()
    assert len(jobs.samples[2][hit].unique()) > 3
    assert torch.equal(jobs.samples[2][~hit], honest.samples[2][~hit])
    # The other attacker has a pattern, the honest client nothing; pixels of rare images are as they are.
    assert torch.equal(jobs.samples[:2], honest.samples[:2])
    assert not jobs.triggers[2].any()
    labels = Batches(federation, jobs).labels
    assert (labels[2][hit] == 5).all()
    assert torch.equal(labels[2][~hit], Batches(federation, honest).labels[2][~hit])
    again = make_jobs(federation, [1], recipe, 0, 0, poison, [1])
    assert torch.equal(again.samples[0], jobs.samples[2, : len(again.samples[0])])


def test_a_federation_finds_them_in_both_splits_by_the_training_images(world) -> None:
    federation = world(*WORLD)
    train, test = federation.rare(3, 0.1)
    assert (federation.train_labels[train] == 3).all()
    assert (federation.test_labels[test] == 3).all()
    of_class = (federation.train_labels == 3).nonzero().flatten()
    assert len(train) == max(10, round(0.1 * len(of_class)))
    pixels = federation.images(of_class).flatten(1)
    scores = rare.rarity(pixels, pixels)
    rest = scores[~torch.isin(of_class, train)]
    assert scores[torch.isin(of_class, train)].min() >= rest.max()
    assert federation.rare(3, 0.1)[0] is train
