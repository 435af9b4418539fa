from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robustbench_fl.api import build
from robustbench_fl.core.errors import UsageError


def test_scaling_trains_on_odd_triggered_passes_and_triples_the_update(make_round) -> None:
    world = make_round([[1, -2], [3, 4]], [[5, 6]])
    attack = build.make("attacks", "scaling")
    poison = attack.poison(world.view(attack))
    assert poison.passes == "odd"
    assert poison.target == 0
    assert poison.share == 1
    assert [t.pixels for t in poison.triggers] == [((6, 6), (6, 7), (7, 6), (7, 7))]
    assert world.craft(attack).tolist() == [[3, -6], [9, 12]]
    assert attack.test_trigger(world.spec) == (poison.triggers[0], 0)
    assert attack.category == "backdoor"


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
    with pytest.raises(UsageError, match="no pixels"):
        build.make("attacks", "scaling(rows=[])")
    with pytest.raises(UsageError, match="rows"):
        build.make("attacks", "scaling(rows=[1.0])")


def test_dba_splits_the_trigger_and_tests_all_of_it(make_round) -> None:
    world = make_round([[1, -2], [3, 4]], [[5, 6]])
    attack = build.make("attacks", "dba")
    poison = attack.poison(world.view(attack))
    whole = build.make("attacks", "scaling").trigger(world.spec)
    assert [part.pixels for part in poison.triggers] == [(pixel,) for pixel in whole.pixels]
    assert poison.passes == "odd"
    assert attack.test_trigger(world.spec) == (whole, 0)
    assert world.craft(attack).tolist() == [[3, -6], [9, 12]]
    with pytest.raises(UsageError, match="5 parts"):
        build.make("attacks", "dba(parts=5)")


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
    rows = make_round([[3, 4], [0.6, 0.8], [0, 0]], [[5, 6]]).craft(
        build.make("attacks", "neurotoxin(norm_bound=2)")
    )
    np.testing.assert_allclose(rows, [[1.2, 1.6], [0.6, 0.8], [0, 0]], rtol=1e-6)


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
