"""Server optimisers and learning-rate schedules: by hand, and in whole cells."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from robustbench_fl.api.recipes import choice
from robustbench_fl.engine.client_jobs import make_jobs
from robustbench_fl.engine.optimiser import direction, initial_state
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.engine.training import train
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner.execute import Environment, prepared

SMALL = {"clients": 6, "rounds": 3, "root_size": 50, "model": "mlp(hidden=[8])", "seeds": [0]}


def simulation(**point: Any) -> Simulation:
    given = {"aggregator": "mean", "attack": "none", "malicious": 0.34, **SMALL, **point}
    (planned,) = expand(make_sweep({}, given, "test"))
    return prepared(planned.cell, Environment(data_dir=Path("/nonexistent")))


def moves(text: str, *aggregates: list[float]) -> list[list[float]]:
    optimiser = choice("server", text)
    state = initial_state(optimiser, torch.zeros(2, dtype=torch.float64))
    found = []
    for aggregate in aggregates:
        move, state = direction(optimiser, torch.tensor(aggregate, dtype=torch.float64), state)
        found.append(move.tolist())
    return found


def test_averaging_follows_the_aggregate():
    assert moves("sgd", [1.0, -2.0], [3.0, 0.0]) == [[1, -2], [3, 0]]


def test_momentum_two_rounds_by_hand():
    # v1 = (1, −2); v2 = 0.5 · (1, −2) + (3, 0) = (3.5, −1)
    assert moves("momentum(beta=0.5)", [1.0, -2.0], [3.0, 0.0]) == [[1, -2], [3.5, -1]]


def test_fedadam_two_rounds_by_hand():
    # β1 = 0.5, β2 = 0.75, τ = 2: v starts at 4.
    # Round 1, Δ = (2, 4): m = (1, 2), v = 0.75 · 4 + 0.25 · (4, 16) = (4, 7).
    # Round 2, Δ = (4, 0): m = (2.5, 1), v = 0.75 · (4, 7) + 0.25 · (16, 0) = (7, 5.25).
    first, second = moves("fedadam(beta1=0.5, beta2=0.75, tau=2)", [2.0, 4.0], [4.0, 0.0])
    assert first == pytest.approx([1 / 4, 2 / (math.sqrt(7) + 2)])
    assert second == pytest.approx([2.5 / (math.sqrt(7) + 2), 1 / (math.sqrt(5.25) + 2)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("cosine", [1, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4]),
        ("cosine(end=0.5)", [1, 0.5 + (2 + math.sqrt(2)) / 8, 0.75, 0.5 + (2 - math.sqrt(2)) / 8]),
        ("linear", [1, 0.75, 0.5, 0.25]),
        ("linear(end=0.2)", [1, 0.8, 0.6, 0.4]),
        ("step(every=2, factor=0.5)", [1, 1, 0.5, 0.5]),
    ],
)
def test_schedules_over_four_rounds(text, expected):
    assert [choice("lr_schedule", text).at(t, 4) for t in range(4)] == pytest.approx(expected)


@pytest.mark.parametrize("server", ["momentum(beta=0.5)", "fedadam(beta1=0.5, beta2=0.75, tau=0.01)"])
def test_a_cell_steps_as_the_optimiser_says_and_shows_attackers_that_step(server):
    ours = simulation(server=server, server_lr=0.3, lr_schedule="step(every=1, factor=0.5)", proximal_mu=0.2)
    optimiser, params = choice("server", server), ours.params
    state = initial_state(optimiser, params)
    for round in range(2):
        recipe = ours.training.recipe(round)
        assert recipe.lr == 0.05 * 0.5**round
        assert recipe.proximal_mu == 0.2
        jobs = make_jobs(ours.federation, range(6), recipe, 0, round)
        mean = train(ours.model, ours.federation, params, jobs, recipe).mean(0)
        move, state = direction(optimiser, mean, state)
        ours.step()
        assert torch.allclose(ours.params, params + 0.3 * move, atol=1e-7)
        assert torch.allclose(ours.last_step, 0.3 * move, atol=1e-7)
        params = ours.params
    assert torch.allclose(ours.optimiser_state.momentum, state.momentum, atol=1e-8)


@pytest.mark.parametrize("server", ["momentum", "fedadam"])
def test_a_rule_that_keeps_the_model_keeps_it_whatever_the_optimiser(server):
    ours = simulation(server=server, aggregator="mean", attack="none")
    ours.step()
    before, state = ours.params, ours.optimiser_state
    ours._updates = lambda *_: torch.full((6, len(before)), torch.nan)  # no row reaches the rule
    ours.step()
    assert torch.equal(ours.params, before)
    assert ours.optimiser_state is state
    assert ours.ledger.counts["kept_model_rounds"] == 1


def test_the_state_of_an_optimiser_goes_through_a_checkpoint():
    ours = simulation(server="fedadam")
    ours.step()
    again = simulation(server="fedadam").optimiser_state.from_tensors(ours.optimiser_state.to_tensors())
    assert torch.equal(again.momentum, ours.optimiser_state.momentum)
    assert torch.equal(again.variance, ours.optimiser_state.variance)
    assert simulation().optimiser_state.to_tensors().keys() == {"momentum:none", "variance:none"}


def test_the_proximal_term_keeps_clients_near_the_model():
    def spread(mu: float) -> float:
        ours = simulation(proximal_mu=mu, local_epochs=3)
        return float(ours.training.updates(ours.params, 0, range(6)).norm(dim=1).mean())

    assert spread(5.0) < 0.8 * spread(0.0)
