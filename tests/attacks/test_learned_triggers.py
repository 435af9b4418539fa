"""A3FL, alternating minimisation and Chameleon: each against a slow reference, and what success is of."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from robustbench_fl.api import GivenImages, build
from robustbench_fl.attacks._pattern import Pattern, square
from robustbench_fl.attacks.a3fl import adapted, unlearned
from robustbench_fl.attacks.alternating_minimisation import alternated
from robustbench_fl.attacks.chameleon import contrast
from robustbench_fl.conformance import world
from robustbench_fl.conformance.attack_scene import Mounted, Reads
from robustbench_fl.core.errors import UsageError

MODEL = world.network()
IMAGES, LABELS = world.own_data(3)
PARAMS = world.history()[2].params


def as_module(params) -> nn.Module:
    """Return the network of the scene as torch has it."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 3))
    nn.utils.vector_to_parameters(params.clone(), net.parameters())
    return net


def flat(net: nn.Module):
    return nn.utils.parameters_to_vector(net.parameters()).detach()


def test_the_model_that_unlearns_is_trained_as_torch_does_it() -> None:
    pattern = Pattern(mask=square(8, 8, 2 / 32, 5 / 32), values=torch.full((1, 8, 8), 0.5))
    net = as_module(PARAMS)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    stamped = IMAGES.clone()
    stamped[:, :, :2, :2] = 0.5
    for _ in range(3):
        optimiser.zero_grad()
        functional.cross_entropy(net(stamped), LABELS).backward()
        optimiser.step()
    torch.testing.assert_close(unlearned(MODEL, PARAMS, IMAGES, LABELS, pattern, 3), flat(net))


def test_a3fl_against_its_formula_by_differences() -> None:
    """Two steps: signs of finite differences of L(θ) + λ₀ cos(θ', θ) L(θ'), in float64."""
    mask, target = square(8, 8, 2 / 32, 5 / 32), 1
    images, params = IMAGES.double(), PARAMS.double()
    pattern = Pattern(mask=mask, values=torch.full((1, 8, 8), 0.5, dtype=torch.float64))
    found = adapted(
        MODEL, params, images, LABELS, pattern, target, steps=2, rate=0.25, balance=30.0, epochs=2
    )

    def loss(at, values) -> float:
        stamped = torch.where(mask, values, images)
        return float(functional.cross_entropy(MODEL.apply(at, stamped), torch.full_like(LABELS, target)))

    values = pattern.values.clone()
    for step in range(2):
        other = unlearned(MODEL, params, images, LABELS, Pattern(mask=mask, values=values), 2)
        weight = 30.0 * float(other @ params / other.norm() / params.norm()) if step else 0.0
        moved = values.clone()
        for row, column in mask.nonzero().tolist():
            ends = []
            for change in (1e-6, -1e-6):
                near = values.clone()
                near[0, row, column] += change
                ends.append(loss(params, near) + weight * loss(other, near))
            moved[0, row, column] -= 0.25 * np.sign(ends[0] - ends[1])
        values = moved.clamp(float(images.min()), float(images.max()))
    torch.testing.assert_close(found, values)
    assert (found != pattern.values).sum() == 4


def test_a3fl_carries_its_trigger_on_and_trains_with_it() -> None:
    attack = build.make("attacks", "a3fl(steps=2, epochs=1, target=2)")
    at, reads = Mounted(round=1), Reads()
    state = attack.init_state(at.spec)
    assert torch.equal(
        attack.test_trigger(at.spec)[0].change(IMAGES)[:, :, :2, :2], torch.full((30, 1, 2, 2), 0.5)
    )
    rows, following = attack.craft(at.view(attack, reads), state)
    (poison,) = reads.poisons
    assert (poison.share, poison.target, poison.passes, poison.repeats) == (0.25, 2, "all", 1)
    stamped = poison.triggers[0].change(IMAGES)
    assert torch.equal(stamped, attack.current_trigger(at.spec, following)[0].change(IMAGES))
    assert not torch.equal(stamped, attack.test_trigger(at.spec)[0].change(IMAGES))
    assert torch.equal(stamped[:, :, 2:], IMAGES[:, :, 2:])
    assert torch.equal(rows, world.trained_by(at.malicious, 1, poison))


@pytest.mark.parametrize("text", ["epochs=0, balance=0.1", "steps=1, balance=0.1", "steps=1, epochs=2"])
def test_a3fl_refuses_what_would_not_be_used(text: str) -> None:
    with pytest.raises(UsageError, match="does without it"):
        build.make("attacks", f"a3fl({text})")
    assert build.make("attacks", "a3fl(steps=1, epochs=0)")


def test_alternating_minimisation_against_torch_modules() -> None:
    chosen, target, near = IMAGES[:2], 2, PARAMS + world.history()[2].updates[3]
    found = alternated(
        MODEL, PARAMS, IMAGES[2:], LABELS[2:], chosen, target, near,
        epochs=2, batch=10, ratio=2, boost=10, rho=0.5, rate=1e-3,
    )  # fmt: skip
    net, anchor = as_module(PARAMS), as_module(near)
    honest, malicious = (torch.optim.Adam(net.parameters(), lr=1e-3) for _ in "hm")
    done = 0
    for _ in range(2):
        for low in (2, 12, 22):
            honest.zero_grad()
            loss = functional.cross_entropy(net(IMAGES[low : low + 10]), LABELS[low : low + 10])
            for layer, other in zip((net[1], net[3]), (anchor[1], anchor[3])):
                loss = loss + 0.25 * ((layer.weight - other.weight.detach()) ** 2).sum()
            loss.backward()
            honest.step()
            done += 1
            if done % 2 == 0:
                before = copy.deepcopy(net)
                malicious.zero_grad()
                functional.cross_entropy(net(chosen), torch.tensor([target] * 2)).backward()
                malicious.step()
                for layer, old in zip((net[1], net[3]), (before[1], before[3])):
                    layer.weight.data = old.weight.data + 10 * (layer.weight.data - old.weight.data)
    torch.testing.assert_close(found, flat(net) - PARAMS, rtol=1e-3, atol=1e-6)


def test_alternating_minimisation_chooses_once_and_success_is_of_these_images() -> None:
    attack = build.make("attacks", "alternating_minimisation(samples=3, epochs=1, target=1)")
    at = Mounted(round=1)
    state = attack.init_state(at.spec)
    assert attack.current_trigger(at.spec, state) is None
    _, state = attack.craft(at.view(attack), state)
    images, labels = world.own_data(at.malicious[0])
    assert len(state.images) == 3
    for image in state.images:
        (place,) = (images == image).flatten(1).all(1).nonzero().flatten().tolist()
        assert labels[place] != 1
    _, following = attack.craft(Mounted(round=2).view(attack), state)
    assert torch.equal(following.images, state.images)
    trigger, target = attack.current_trigger(at.spec, state)
    assert isinstance(trigger, GivenImages)
    assert target == 1


@pytest.mark.parametrize("labels", [[0, 1, 1, 0, 2], [1, 1, 1, 1, 1], [0, 1, 2, 3, 4]])
def test_the_contrastive_loss_by_loops(labels: list[int]) -> None:
    features = torch.from_numpy(np.random.default_rng(3).normal(size=(5, 4)))
    total = 0.0
    unit = (features / features.norm(dim=1, keepdim=True)).tolist()

    def power(i: int, j: int) -> float:
        return float(np.exp(np.dot(unit[i], unit[j]) / 0.07))

    for i in range(5):
        peers = [p for p in range(5) if p != i and labels[p] == labels[i]]
        below = sum(power(i, a) for a in range(5) if a != i)
        terms = [-np.log(power(i, p) / below) for p in peers]
        total += (6 if labels[i] == 1 else 1) * (np.mean(terms) if peers else 0)
    found = contrast(features, torch.tensor(labels), 1, 6.0)
    assert float(found) == pytest.approx(total / 5)


def test_chameleon_frees_the_body_then_the_last_layer_within_an_honest_norm() -> None:
    at = Mounted(round=1)
    attack = build.make("attacks", "chameleon(contrastive_epochs=2, epochs=1)")
    wide = build.make("attacks", "chameleon(contrastive_epochs=2, epochs=1, norm_factor=10)")
    rows, _ = attack.craft(at.view(attack), None)
    assert (rows.norm(dim=1) <= at.view(attack).own.norm(dim=1) * (1 + 1e-5)).all()
    # Without the ball: what a body trained alone comes to, and a last layer that saw only one pass.
    free, _ = wide.craft(at.view(wide), None)
    body, head = free[:, : 64 * 6 + 6], free[:, 64 * 6 + 6 :]
    assert body.abs().max() > 0.01
    assert 0 < head.abs().max() < 0.01  # one step of rate 0.001
