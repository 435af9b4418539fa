"""Free riders, noise and gradient ascent."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_fl.api import build
from robustbench_fl.attacks.disguised_free_rider import FreeRiderState
from robustbench_fl.conformance import world
from robustbench_fl.conformance.attack_scene import Mounted


def test_pga_sends_the_ascended_update_at_the_mean_honest_norm(make_round) -> None:
    round = make_round([[3, 4], [0, 1]], [[5, 6]])
    asked = []

    def train(poison):
        asked.append(poison)
        return torch.tensor([[0.0, 8.0], [2.0, 0.0]])

    round.train = train
    # Norms 5 and 1, mean 3.
    np.testing.assert_allclose(round.craft(build.make("attacks", "pga")), [[0, 3], [3, 0]], rtol=1e-6)
    assert asked[0].gradient_mask.tolist() == [-1, -1]
    longer = round.craft(build.make("attacks", "pga(norm_factor=2)"))
    np.testing.assert_allclose(longer, [[0, 6], [6, 0]], rtol=1e-6)


def test_pga_takes_the_norms_of_finite_updates(make_round) -> None:
    round = make_round([[3, 4], [torch.nan, 1]], [[5, 6]])
    round.train = lambda poison: torch.tensor([[0.0, 8.0], [2.0, 0.0]])
    assert round.craft(build.make("attacks", "pga")).tolist() == [[0, 5], [5, 0]]
    round.own[0] = torch.inf
    assert not round.craft(build.make("attacks", "pga")).isfinite().all(1).any()


def test_gradient_ascent_raises_the_loss_where_training_lowers_it() -> None:
    at = Mounted(round=1)
    attack = build.make("attacks", "pga")
    view = at.view(attack)
    rows, _ = attack.craft(view, None)
    for j, row in enumerate(rows):
        images, labels = world.own_data(at.malicious[j])

        def loss(update, images=images, labels=labels):
            logits = world.network().apply(view.params + update, images)
            return float(torch.nn.functional.cross_entropy(logits, labels))

        assert loss(view.own[j]) < loss(torch.zeros_like(row)) < loss(row)


def test_delta_weights_repeat_the_last_step(make_round) -> None:
    round = make_round([[9, 9]] * 2, [[5, 6]])
    assert round.craft(build.make("attacks", "delta_weights")).tolist() == [[0, 0]] * 2
    round.last_step = torch.tensor([0.5, -2.0])
    assert round.craft(build.make("attacks", "delta_weights")).tolist() == [[0.5, -2]] * 2
    wide = make_round(torch.zeros(2, 4000), torch.zeros(1, 4000))
    wide.last_step = torch.linspace(-1, 1, 4000)
    noise = wide.craft(build.make("attacks", "delta_weights(noise=0.001)")) - wide.last_step
    assert float(noise.std()) == pytest.approx(0.001, rel=0.05)
    assert not torch.equal(noise[0], noise[1])


def test_disguised_free_riders_send_noise_that_fades(make_round) -> None:
    wide = make_round(torch.zeros(2, 4000), torch.zeros(1, 4000))
    attack = build.make("attacks", "disguised_free_rider(scale=3, decay=0.5)")
    rows, state = attack.craft(wide.view(attack), attack.init_state(wide.spec))
    assert state == FreeRiderState()
    assert not rows.any()
    # Entries ±2 by turns: standard deviation 2, later steps do not count.
    wide.last_step = 2 * (-1.0) ** torch.arange(4000)
    for t in (1, 2, 3, 4):
        rows, state = attack.craft(wide.view(attack, round=t), state)
        assert float(rows.std()) == pytest.approx(3 * 2 * t**-0.5, rel=0.05)
        wide.last_step = torch.full((4000,), 100.0)
    assert state == FreeRiderState(deviation=2.0, rounds=4)


def test_noise_is_added_at_a_multiple_of_the_honest_norm(make_round) -> None:
    own = torch.stack([torch.linspace(-1, 1, 500), torch.linspace(0, 3, 500)])
    rows = make_round(own, own).craft(build.make("attacks", "additive_noise(scale=2)"))
    np.testing.assert_allclose((rows - own).norm(dim=1), 2 * own.norm(dim=1), rtol=1e-4)
    across = ((rows - own)[0] @ (rows - own)[1]) / (rows - own).norm(dim=1).prod()
    assert abs(float(across)) < 0.2
