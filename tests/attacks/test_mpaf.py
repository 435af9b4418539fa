from __future__ import annotations

import numpy as np
import torch

from robustbench_fl.api import build
from robustbench_fl.attacks.mpaf import Mpaf, MpafState, shuffled_model

LAYERS = (("weight", (2, 2)), ("bias", (3,)))


def test_towards_the_initial_model(make_round) -> None:
    world = make_round([[9, 9, 9]] * 2, [[9, 9, 9]])
    # w = (−1, 0, 1), w₀ = (2, 2.5, 3): three times (3, 2.5, 2).
    assert world.craft(Mpaf()).tolist() == [[9, 7.5, 6]] * 2
    world.params = world.initial
    assert world.craft(Mpaf()).tolist() == [[0, 0, 0]] * 2


def test_a_random_target_is_another_draw_and_is_kept(make_round) -> None:
    world = make_round(torch.zeros(2, 7), torch.zeros(1, 7), layers=LAYERS)
    attack = build.make("attacks", "mpaf(target=random, scale=1)")
    rows, state = attack.craft(world.view(attack, seed=1), attack.init_state(world.spec))
    target = rows[0] + world.params
    assert torch.equal(rows[0], rows[1])
    assert not torch.allclose(target, world.initial)
    for part in (slice(0, 4), slice(4, 7)):
        np.testing.assert_allclose(target[part].sort().values, world.initial[part], rtol=1e-6)
    world.params = world.params + 1
    later, again = attack.craft(world.view(attack, seed=2, round=1), state)
    np.testing.assert_allclose(later[0] + world.params, target, rtol=1e-5)
    assert again is state


def test_the_target_survives_a_checkpoint() -> None:
    state = MpafState(target=torch.tensor([1.0, 2.0]))
    assert MpafState().from_tensors(state.to_tensors()).target.tolist() == [1, 2]
    assert state.from_tensors(MpafState().to_tensors()).target is None


def test_shuffling_stays_within_tensors() -> None:
    drawn = shuffled_model(torch.arange(7.0), LAYERS, torch.Generator().manual_seed(0))
    assert sorted(drawn[:4].tolist()) == [0, 1, 2, 3]
    assert sorted(drawn[4:].tolist()) == [4, 5, 6]
