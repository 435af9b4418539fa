from __future__ import annotations

import numpy as np
import torch

from robustbench_fl.api import build
from robustbench_fl.attacks.mimic import MimicState, followed_direction


def test_one_step_of_ojas_rule_by_hand() -> None:
    rows, mean = torch.tensor([[3.0, 0.0], [-1.0, 2.0]]), torch.tensor([0.0, 1.0]).double()
    z = torch.tensor([1.0, 0.0]).double()
    # Centred (3, −1), (−1, 1); projections 3, −1; q = (10, −4), a unit (5, −2)/√29.
    unit = np.array([5, -2]) / np.sqrt(29)
    np.testing.assert_allclose(followed_direction(rows, mean, z, 0), unit, rtol=1e-12)
    blended = 3 / 4 * np.array([1, 0]) + unit / 4
    np.testing.assert_allclose(
        followed_direction(rows, mean, z, 3), blended / np.linalg.norm(blended), rtol=1e-12
    )


def test_equal_rows_keep_the_direction() -> None:
    z = torch.tensor([0.6, 0.8]).double()
    rows = torch.ones(3, 2)
    assert torch.equal(followed_direction(rows, torch.ones(2).double(), z, 2), z)


def play(attack, world, rounds, present):
    state, sent = attack.init_state(world.spec), []
    everyone = world.honest.clone()
    for t in range(rounds):
        ids = present(t)
        world.honest = everyone[ids]
        view = world.view(attack, seed=t, round=t)
        view._gated["honest_ids"] = tuple(ids)
        rows, state = attack.craft(view, state)
        sent.append(rows)
    return sent, state


def spread_world(make_round):
    # Clients 0 and 4 lie farthest out along the first axis, on opposite sides.
    honest = [[-9, 0.1], [-1, 0.2], [0, -0.3], [1, 0.1], [9, -0.1]]
    return make_round([[50.0, 50.0]] * 2, honest)


def test_it_copies_the_farthest_along_the_largest_spread_for_ever(make_round) -> None:
    world = spread_world(make_round)
    honest = world.honest.clone()
    attack = build.make("attacks", "mimic(warmup=3)")
    sent, state = play(attack, world, 6, lambda t: [0, 1, 2, 3, 4])
    assert state.victim in (0, 4)
    assert state.rounds == 3
    assert abs(state.direction[0]) > 0.99
    for rows in sent[2:]:
        assert torch.equal(rows, honest[state.victim].repeat(2, 1))
    np.testing.assert_allclose(state.mean, honest.double().mean(0), atol=1e-7)
    world.honest = honest.flip(0)
    rows, _ = attack.craft(world.view(attack, round=6), state)
    assert torch.equal(rows[0], world.honest[state.victim]), "still the same client, now the nearest"


def test_an_absent_victim_is_replaced_for_the_time_being(make_round) -> None:
    world = spread_world(make_round)
    honest = world.honest.clone()
    attack = build.make("attacks", "mimic(warmup=1)")
    everyone = [0, 1, 2, 3, 4]
    _, state = play(attack, spread_world(make_round), 1, lambda t: everyone)
    victim = state.victim
    next_best = 1 if victim == 0 else 3
    others = [i for i in everyone if i != victim]
    sent, state = play(attack, world, 3, lambda t: others if t == 1 else everyone)
    assert state.victim == victim
    assert torch.equal(sent[1][0], honest[next_best])
    assert torch.equal(sent[2][0], honest[victim])


def test_the_running_mean_averages_rounds(make_round) -> None:
    attack = build.make("attacks", "mimic")
    world = make_round([[0.0, 0.0]], [[1, 2], [3, 4]])
    _, state = attack.craft(world.view(attack), attack.init_state(world.spec))
    world.honest = torch.tensor([[5.0, 6.0], [5.0, 8.0]])
    _, state = attack.craft(world.view(attack), state)
    np.testing.assert_allclose(state.mean, [3.5, 5], rtol=1e-6)
    assert state.victim is None


def test_the_state_survives_a_checkpoint() -> None:
    state = MimicState(rounds=4, mean=torch.ones(2), direction=torch.zeros(2), victim=7)
    again = MimicState().from_tensors(state.to_tensors())
    assert (again.rounds, again.victim) == (4, 7)
    assert torch.equal(again.mean, state.mean)


def test_without_honest_clients_they_train_honestly(make_round) -> None:
    world = make_round([[1.0, 2.0]], torch.zeros(0, 2))
    assert world.craft(build.make("attacks", "mimic")).tolist() == [[1, 2]]
