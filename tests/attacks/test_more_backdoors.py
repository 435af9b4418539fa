"""BadNets, projected descent and layer poisoning."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_fl.api import RareImages, Trigger, build
from robustbench_fl.attacks._critical_layers import critical_layers, success_on
from robustbench_fl.conformance import world
from robustbench_fl.conformance.attack_scene import Mounted, Reads
from robustbench_fl.core.errors import UsageError


def test_badnets_poisons_a_tenth_of_every_batch_and_sends_the_update(make_round) -> None:
    round = make_round([[1, -2], [3, 4]], [[5, 6]])
    attack = build.make("attacks", "badnets(target=7)")
    poison = attack.poison(round.view(attack))
    assert (poison.share, poison.passes, poison.repeats, poison.target) == (0.1, "all", 1, 7)
    assert poison.gradient_mask is poison.radius is None
    assert round.craft(attack).tolist() == [[1, -2], [3, 4]]


def test_pgd_trains_in_a_ball_of_its_honest_norm_and_scales(make_round) -> None:
    round = make_round([[3, 4], [0, 1]], [[5, 6]])
    asked = []

    def train(poison):
        asked.append(poison)
        return torch.tensor([[0.0, 10.0], [0.5, 0.0]])

    round.train = train
    attack = build.make("attacks", "pgd(scale=2)")
    assert attack.poison(round.view(attack)) is None
    # Radii 5 and 1: the first row is too long, the second is not; then both are doubled.
    np.testing.assert_allclose(round.craft(attack), [[0, 10], [1, 0]], rtol=1e-6)
    (poison,) = asked
    assert poison.radius.tolist() == [5, 1]
    assert (poison.project_every, poison.share) == (10, 20 / 64)
    assert len(poison.triggers[0].pixels) == 4
    np.testing.assert_allclose(round.craft(build.make("attacks", "pgd(radius=2)")), [[0, 2], [0.5, 0]])
    with pytest.raises(UsageError, match="give one"):
        build.make("attacks", "pgd(radius=2, norm_factor=3)")


def one_hot_success(weights):
    """Return a success rate that adds the weights of the malicious tensors (1) in a model (0 and 1)."""
    return lambda tensors: float(sum(w * float(t) for w, t in zip(weights, tensors, strict=True)))


@pytest.mark.parametrize(
    ("weights", "threshold", "chosen"),
    [
        ([0.1, 0.7, 0.2], 0.6, [1]),
        ([0.1, 0.7, 0.2], 0.8, [1, 2]),  # 0.7 < 0.8 ≤ 0.9
        ([0.1, 0.7, 0.2], 1.0, [1, 2, 0]),
        ([0.0, 0.0, 0.0], 0.8, []),  # the backdoor never works: nothing is worth it
    ],
)
def test_critical_layers_by_hand(weights, threshold, chosen) -> None:
    benign, malicious = [torch.tensor(0.0)] * 3, [torch.tensor(1.0)] * 3
    assert critical_layers(benign, malicious, one_hot_success(weights), threshold) == chosen


def test_critical_layers_against_all_substitutions_by_name() -> None:
    """The release's two loops, with named tensors: forward drops, sorted; backward until τ is reached."""
    rng = np.random.default_rng(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
    good, bad = (
        {k: torch.tensor(rng.normal(size=v.shape)) for k, v in net.state_dict().items()} for _ in "gb"
    )
    inputs = torch.tensor(rng.normal(size=(40, 5)))

    def rate(state) -> float:
        net.double().load_state_dict(state)
        return float((net(inputs).argmax(1) == 1).double().mean())

    full = rate(bad)
    drops = {key: rate({**bad, key: good[key]}) - full for key in good}
    order, n, names, reached = sorted(drops, key=lambda key: drops[key]), 0, [], rate(good)
    while reached < 0.9 * full and n < len(order):
        n += 1
        names = order[:n]
        reached = rate({**good, **{key: bad[key] for key in names}})
    keys = list(good)
    found = critical_layers(
        list(good.values()), list(bad.values()), lambda ts: rate(dict(zip(keys, ts, strict=True))), 0.9
    )
    assert [keys[i] for i in found] == names


def test_the_success_is_counted_on_triggered_images_of_other_classes() -> None:
    at = Mounted(round=1)
    attack = build.make("attacks", "layer_poisoning")
    view = at.view(attack)
    trigger = Trigger(pixels=((0, 0), (3, 5)))
    success = success_on(view, 1, trigger, 2, 1000)
    images, labels = world.own_data(at.malicious[1])
    stamped = images.clone()
    stamped[:, :, 0, 0] = stamped[:, :, 3, 5] = images.max()
    taken = world.network().apply(view.params, stamped).argmax(1)
    expected = float((taken[labels != 2] == 2).double().mean())
    assert success(world.network().split(view.params)) == expected


@pytest.mark.parametrize(
    ("text", "factor"), [("", 1), ("scale=3", 3), ("scale=0.25", 0.25), ("mode=flip", -1)]
)
def test_layer_poisoning_mixes_whole_tensors(text: str, factor: float) -> None:
    at, reads = Mounted(round=1), Reads()
    attack = build.make("attacks", f"layer_poisoning({text})" if text else "layer_poisoning")
    view = at.view(attack, reads)
    rows, _ = attack.craft(view, None)
    honest, bad = view.own, world.trained_by(at.malicious, 1, reads.poisons[0])
    kept = 0.75 if factor == 0.25 else 0
    network, poisoned = world.network(), 0
    for row, own, other in zip(rows, honest, bad, strict=True):
        for part, good, evil in zip(*map(network.split, (row, own, other)), strict=True):
            mixed = factor * evil + kept * good
            assert torch.equal(part, good) or torch.allclose(part, mixed)
            poisoned += not torch.equal(part, good)
    assert 0 < poisoned < 3 * len(network.layer_shapes)


def test_layer_poisoning_refuses_a_factor_of_flipped_layers() -> None:
    with pytest.raises(UsageError, match="mode=poison"):
        build.make("attacks", "layer_poisoning(mode=flip, scale=3)")


def test_edge_cases_are_mixed_into_every_batch(make_round) -> None:
    round = make_round([[1, -2], [3, 4]], [[5, 6]])
    attack = build.make("attacks", "edge_case(source=7, target=1, scale=2)")
    poison = attack.poison(round.view(attack))
    edge = RareImages(source=7, share=0.05)
    assert (poison.triggers, poison.target, poison.share) == ((edge,), 1, 0.2)
    assert attack.test_trigger(round.spec) == (edge, 1)
    assert round.craft(attack).tolist() == [[2, -4], [6, 8]]
    assert "class 10" in build.make("attacks", "edge_case(source=10)").infeasible(round.spec)
    with pytest.raises(UsageError, match="both class 1"):
        build.make("attacks", "edge_case(target=1)")


def test_edge_cases_within_a_ball(make_round) -> None:
    round = make_round([[3, 4]], [[5, 6]])
    attack = build.make("attacks", "edge_case(norm_factor=0.5, scale=2)")
    assert attack.poison(round.view(attack)) is None
    asked = []
    round.train = lambda poison: asked.append(poison) or torch.tensor([[0.0, 10.0]])
    np.testing.assert_allclose(round.craft(attack), [[0, 5]], rtol=1e-6)
    assert asked[0].radius.tolist() == [2.5]
    assert isinstance(asked[0].triggers[0], RareImages)
