from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robustbench_fl.api import build
from robustbench_fl.core.errors import UsageError


def test_scaling_trains_twice_as_long_on_odd_triggered_passes_and_triples_the_update(make_round) -> None:
    world = make_round([[1, -2], [3, 4]], [[5, 6]])
    attack = build.make("attacks", "scaling")
    poison = attack.poison(world.view(attack))
    assert (poison.passes, poison.repeats, poison.share, poison.target) == ("odd", 2, 1, 0)
    assert [t.pixels for t in poison.triggers] == [((6, 6), (6, 7), (7, 6), (7, 7))]
    assert world.craft(attack).tolist() == [[3, -6], [9, 12]]
    assert attack.test_trigger(world.spec) == (poison.triggers[0], 0)
    assert attack.category == "backdoor"


@pytest.mark.parametrize("name", ["scaling", "dba"])
def test_or_once_with_a_part_of_every_batch(make_round, name: str) -> None:
    world = make_round([[1.0]], [[1.0]])
    attack = build.make("attacks", f"{name}(schedule=mixed)")
    poison = attack.poison(world.view(attack))
    assert (poison.passes, poison.repeats, poison.share) == ("all", 1, 20 / 64)
    few = build.make("attacks", f"{name}(schedule=mixed, share=0.078125)")
    assert few.poison(world.view(few)).share == 5 / 64


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        (8, ((6, 6), (6, 7), (7, 6), (7, 7))),
        (28, ((21, 21), (21, 25), (25, 21), (25, 25))),
        (32, ((24, 24), (24, 28), (28, 24), (28, 28))),
    ],
)
def test_the_trigger_is_four_pixels_on_every_size(make_round, size: int, pixels) -> None:
    spec = replace(make_round([[1.0]], [[1.0]]).spec, image_shape=(3, size, size))
    attack = build.make("attacks", "scaling")
    assert attack.trigger(spec).pixels == pixels
    assert attack.infeasible(spec) is None


def test_the_trigger_is_a_parameter(make_round) -> None:
    spec = make_round([[1.0]], [[1.0]]).spec
    attack = build.make("attacks", "scaling(rows=[0, 0.5], columns=[0.25], target=7)")
    trigger, target = attack.test_trigger(spec)
    assert trigger.pixels == ((0, 2), (4, 2))
    assert target == 7


def test_impossible_settings_are_told(make_round) -> None:
    spec = make_round([[1.0]], [[1.0]]).spec
    assert "10 classes" in build.make("attacks", "scaling(target=10)").infeasible(spec)
    assert "8×8" in build.make("attacks", "scaling(rows=[0.5, 0.55])").infeasible(spec)
    dba = build.make("attacks", "dba")
    assert "lie outside a 4×4 image: [(0, 4), (2, 4)]" in dba.infeasible(replace(spec, image_shape=(1, 4, 4)))
    assert "outside a 2×9" in dba.infeasible(replace(spec, image_shape=(1, 2, 9)))
    assert dba.infeasible(replace(spec, image_shape=(1, 3, 5))) is None
    with pytest.raises(UsageError, match="no pixels"):
        build.make("attacks", "scaling(rows=[])")
    with pytest.raises(UsageError, match="rows"):
        build.make("attacks", "scaling(rows=[1.0])")


def test_dba_splits_the_trigger_and_tests_all_of_it(make_round) -> None:
    world = make_round([[1, -2], [3, 4]], [[5, 6]])
    attack = build.make("attacks", "dba(pattern=pixels)")
    poison = attack.poison(world.view(attack))
    whole = build.make("attacks", "scaling").trigger(world.spec)
    assert [part.pixels for part in poison.triggers] == [(pixel,) for pixel in whole.pixels]
    assert (poison.passes, poison.repeats) == ("odd", 2)
    assert attack.test_trigger(world.spec) == (whole, 0)
    assert world.craft(attack).tolist() == [[3, -6], [9, 12]]


@pytest.mark.parametrize(
    ("size", "rows", "starts", "length"),
    [(8, (0, 2), (0, 3), 2), (28, (0, 3), (0, 6), 4), (32, (0, 4), (0, 9), 6)],
)
def test_dbas_bars_are_those_of_its_release(make_round, size, rows, starts, length) -> None:
    """28: [0, 0] … [3, 9] of the MNIST settings; 32: [0, 0] … [4, 14] of the CIFAR-10 ones."""
    spec = replace(make_round([[1.0]], [[1.0]]).spec, image_shape=(1, size, size))
    attack = build.make("attacks", "dba")
    parts = attack.poison(make_round([[1.0]], [[1.0]]).view(attack)) if size == 8 else None
    bars = [tuple((r, c + i) for i in range(length)) for r in rows for c in starts]
    assert [part.pixels for part in attack.parts(spec)] == bars
    assert parts is None or [part.pixels for part in parts.triggers] == bars
    assert attack.trigger(spec).pixels == tuple(pixel for bar in bars for pixel in bar)


def test_neurotoxin_masks_the_busiest_coordinates(make_round) -> None:
    world = make_round(torch.zeros(1, 200), torch.zeros(1, 200))
    attack = build.make("attacks", "neurotoxin")
    assert attack.poison(world.view(attack)).gradient_mask is None
    world.last_step = torch.linspace(-0.5, 0.5, 200)
    world.last_step[[7, 90]] = torch.tensor([3.0, -4.0])
    mask = attack.poison(world.view(attack)).gradient_mask
    # 1 % of 200 coordinates are the two largest magnitudes, whatever their sign.
    assert (mask == 0).nonzero().flatten().tolist() == [7, 90]
    assert mask.sum() == 198
    everything = build.make("attacks", "neurotoxin(mask_ratio=1)")
    assert everything.poison(world.view(everything)).gradient_mask.sum() == 200


def test_neurotoxin_clips_what_is_too_long(make_round) -> None:
    world = make_round([[3, 4], [0.6, 0.8], [0, 0]], [[5, 6]])
    rows = world.craft(build.make("attacks", "neurotoxin(norm_bound=2)"))
    np.testing.assert_allclose(rows, [[1.2, 1.6], [0.6, 0.8], [0, 0]], rtol=1e-6)
    with pytest.raises(UsageError, match="give one"):
        build.make("attacks", "neurotoxin(norm_bound=2, norm_factor=3)")


def test_neurotoxin_stays_within_its_own_honest_norm(make_round) -> None:
    world = make_round([[3, 4], [0.6, 0.8]], [[5, 6]])
    world.train = lambda poison: torch.tensor([[0.0, 2.5], [5.0, 0.0]])
    rows = world.craft(build.make("attacks", "neurotoxin"))
    np.testing.assert_allclose(rows, [[1.5, 2], [0.6, 0.8]], rtol=1e-6)
    rows = world.craft(build.make("attacks", "neurotoxin(norm_factor=0.5)"))
    np.testing.assert_allclose(rows, [[0.75, 1], [0.6, 0.8]], rtol=1e-6)


def test_targeted_label_flip(make_round) -> None:
    world = make_round([[1.0]], [[1.0]])
    attack = build.make("attacks", "targeted_label_flip")
    assert attack.poison(world.view(attack)).label_map == (2, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert attack.test_flip(world.spec) == (0, 2)
    assert attack.test_trigger(world.spec) is None
    assert attack.infeasible(world.spec) is None
    assert "class 10" in build.make("attacks", "targeted_label_flip(source=10)").infeasible(world.spec)
    with pytest.raises(UsageError, match="both class 2"):
        build.make("attacks", "targeted_label_flip(source=2)")


@pytest.mark.parametrize("name", ["scaling", "dba", "neurotoxin"])
def test_a_share_of_the_samples_may_be_triggered(make_round, name: str) -> None:
    world = make_round([[1.0]], [[1.0]])
    attack = build.make("attacks", f"{name}(share=0.25)")
    assert attack.poison(world.view(attack)).share == 0.25
    with pytest.raises(UsageError, match="share"):
        build.make("attacks", f"{name}(share=0)")
