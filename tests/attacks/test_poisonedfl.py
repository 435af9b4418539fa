from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robustbench_fl.api import build
from robustbench_fl.attacks.poisonedfl import PoisonedFLState, consistent_update, follows


def test_the_update_by_hand() -> None:
    # ‖h‖ = 5, u/‖u‖ = (0, 1): v = |(3, 4) − (0, 5)| = (3, 1), ‖v‖ = √10; twice 5·(3, −1)/√10.
    update = consistent_update(
        torch.tensor([3.0, 4.0]), torch.tensor([0.0, 7.0]), torch.tensor([1.0, -1.0]), 2
    )
    np.testing.assert_allclose(update, 10 * np.array([3, -1]) / np.sqrt(10), rtol=1e-12)


def test_after_nothing_was_sent_the_last_step_gives_the_magnitudes() -> None:
    update = consistent_update(torch.tensor([3.0, -4.0]), torch.zeros(2), torch.tensor([-1.0, 1.0]), 8)
    np.testing.assert_allclose(update, [-24, 32], rtol=1e-12)


def test_no_step_no_update() -> None:
    assert consistent_update(torch.zeros(2), torch.ones(2), torch.ones(2), 8).tolist() == [0, 0]


def test_following_takes_the_99_percent_quantile() -> None:
    # d = 100: 50 + 2.326·10/2 = 61.63, so 62 agreeing coordinates are enough and 61 are not.
    signs = torch.ones(100)
    for agreeing, expected in [(61, False), (62, True)]:
        moved = torch.cat([torch.ones(agreeing), -torch.ones(100 - agreeing)])
        assert follows(moved, signs) is expected


def test_zeros_first_then_one_direction_for_ever(make_round) -> None:
    world = make_round(torch.zeros(2, 50), torch.zeros(3, 50))
    attack = build.make("attacks", "poisonedfl")
    first, state = attack.craft(world.view(attack), attack.init_state(world.spec))
    assert not first.any()
    assert set(state.signs.tolist()) == {-1, 1}
    for t in range(1, 4):
        world.last_step = torch.randn(50, generator=torch.Generator().manual_seed(t))
        expected = consistent_update(world.last_step, state.sent, state.signs, 8)
        rows, state = attack.craft(world.view(attack, seed=t, round=t), state)
        np.testing.assert_allclose(rows, np.tile(expected, (2, 1)), rtol=1e-5)
        assert torch.equal(rows[0].sign(), state.signs)
        assert float(rows[0].norm()) == pytest.approx(8 * float(world.last_step.norm()), rel=1e-5)
        assert torch.equal(state.sent, rows[0])


@pytest.mark.parametrize(
    ("follow", "before", "after"), [(True, 8, 8), (False, 8, 5.6), (False, 0.7, 0.7), (False, 0.72, 0.504)]
)
def test_every_period_the_factor_is_checked(make_round, follow: bool, before: float, after: float) -> None:
    world = make_round(torch.zeros(1, 50), torch.zeros(3, 50))
    attack = build.make("attacks", "poisonedfl(period=10)")
    _, state = attack.craft(world.view(attack, round=5), attack.init_state(world.spec))
    state = replace(state, scale=before)
    world.last_step = torch.ones(50)
    world.params = world.params + (1 if follow else -1) * state.signs
    _, same = attack.craft(world.view(attack, round=14), state)
    assert same.scale == before
    _, checked = attack.craft(world.view(attack, round=15), state)
    assert checked.scale == pytest.approx(after)
    assert checked.checked_round == 15
    assert torch.equal(checked.checked_params, world.params)


def test_the_state_survives_a_checkpoint() -> None:
    state = PoisonedFLState(signs=torch.ones(2), sent=torch.zeros(2), scale=5.6, checked_round=3)
    again = PoisonedFLState(scale=8).from_tensors(state.to_tensors())
    assert (again.scale, again.checked_round, again.checked_params) == (5.6, 3, None)
    assert again.signs.tolist() == [1, 1]
