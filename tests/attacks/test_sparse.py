"""The sparse hybrid attack: its weights by pruning at initialisation, its rows by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_fl.api import build
from robustbench_fl.attacks.sparse import SparseState, sensitive_weights
from robustbench_fl.conformance import world


def pruned(params, images, labels, share: float, steps: int) -> list[int]:
    """FORCE again, the slow way: an nn.Sequential whose weights are zeroed one by one."""
    layers = [nn.Linear(64, 6), nn.Linear(6, 3)]
    net = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1])
    nn.utils.vector_to_parameters(params.clone(), net.parameters())
    original = [layer.weight.detach().clone() for layer in layers]
    kept = [torch.ones_like(weight, dtype=torch.bool) for weight in original]
    for t in range(1, steps + 1):
        for layer, weight, mask in zip(layers, original, kept, strict=True):
            layer.weight.data = torch.where(mask, weight, 0)
        net.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        scores = [(w * layer.weight.grad).abs() for w, layer in zip(original, layers, strict=True)]
        flat = torch.cat([score.flatten() for score in scores])
        n = round(len(flat) * share ** (t / steps))
        threshold = flat.sort(descending=True).values[n - 1]
        kept = [score >= threshold for score in scores]
    first, second = (mask.flatten().nonzero().flatten() for mask in kept)
    return first.tolist() + (second + 64 * 6 + 6).tolist()


@pytest.mark.parametrize(("share", "steps"), [(0.005, 20), (0.1, 5), (0.5, 1)])
def test_sensitive_weights_are_those_that_force_leaves(share: float, steps: int) -> None:
    images, labels = world.own_data(3)
    params = world.history()[0].params
    mask = sensitive_weights(world.network(), params, images, labels, share, steps)
    assert mask.nonzero().flatten().tolist() == pruned(params, images, labels, share, steps)
    assert int(mask.sum()) == round(share * (64 * 6 + 6 * 3))


def test_strong_on_the_sensitive_weights_and_alie_elsewhere(make_round) -> None:
    # Mean (2, −4), deviations 1 and 2.
    round = make_round([[9, 9]] * 2, [[1, -2], [2, -4], [3, -6]])
    state = SparseState(sensitive=torch.tensor([True, False]))
    for text, sent in [
        ("sparse(z=0.5)", [2 - 1.5, -4 - 0.5 * 2]),
        ("sparse(z=0.5, scale=4)", [2 - 4, -5]),
        ("sparse(z=0.5, sign=mean)", [0.5, -4 + 0.5 * 2]),
    ]:
        attack = build.make("attacks", text)
        rows, following = attack.craft(round.view(attack), state)
        np.testing.assert_allclose(rows, [sent] * 2, rtol=1e-6)
        assert following is state


def test_elsewhere_it_is_alie(random_round) -> None:
    attack = build.make("attacks", "sparse")
    state = SparseState(sensitive=torch.zeros(40, dtype=torch.bool))
    rows, _ = attack.craft(random_round.view(attack), state)
    np.testing.assert_allclose(rows, random_round.craft(build.make("attacks", "alie")), rtol=1e-6)


def test_the_weights_are_found_once(random_round) -> None:
    attack = build.make("attacks", "sparse(share=0.1, steps=3)")
    _, first = attack.craft(random_round.view(attack), attack.init_state(random_round.spec))
    _, later = attack.craft(random_round.view(attack, round=1), first)
    assert first.sensitive is later.sensitive
