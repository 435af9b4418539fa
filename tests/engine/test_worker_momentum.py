"""Worker momentum: what clients send is a mean over rounds, as in the literature on Byzantine SGD."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_fl.api import Attack, AttackerView, Knowledge
from robustbench_fl.core.cell import Cell
from robustbench_fl.core.settings import Settings
from robustbench_fl.engine.client_jobs import make_jobs
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.engine.snapshot import restore, snapshot
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import canonical, expand
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import prepared

HERE = Environment(data_dir=Path("/nonexistent"))
BETA = 0.9


def cell_of(**point: Any) -> Cell:
    given = {
        "model": "mlp(hidden=[16])", "aggregator": "mean", "attack": "none", "clients": 6, "rounds": 4,
        "malicious": 0.34, "seeds": [0], "local_steps": 1, "worker_momentum": BETA, **point,
    }  # fmt: skip
    return expand(canonical(make_sweep({}, given, "test")))[0].cell


def simulation(**point: Any) -> Simulation:
    return prepared(cell_of(**point), HERE)


def gradient(at: Simulation, net: nn.Module, weights: Tensor, batch: Tensor) -> Tensor:
    nn.utils.vector_to_parameters(weights.clone(), net.parameters())
    net.zero_grad()
    batch = batch[batch >= 0]
    nn.functional.cross_entropy(net(at.federation.images(batch)), at.federation.labels(batch)).backward()
    return torch.cat([p.grad.flatten() for p in net.parameters()])


def byzfl_rounds(at: Simulation, rounds: int, momenta: list[Any]) -> Tensor:
    """ByzFL 0.0: clients send β m + (1 − β) g, the server steps by SGD along their mean."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    weights = at.initial_params
    for round in range(rounds):
        jobs = make_jobs(at.federation, range(6), at.training.recipe(round), 0, round)
        for client in range(6):
            g = gradient(at, net, weights, jobs.samples[client, 0])
            momenta[client] = momenta[client] * BETA + (1 - BETA) * g
        weights = weights - at.settings.lr * torch.stack(momenta).mean(0)
    return weights


def test_one_local_step_equals_byzfls_client() -> None:
    at = simulation()
    momenta: list[Any] = [torch.zeros_like(at.params)] * 6
    expected = byzfl_rounds(at, 4, momenta)
    at.run()
    assert float((at.params - expected).norm() / (expected - at.initial_params).norm()) < 1e-5
    found = -torch.stack(momenta)
    assert float((at.momenta.of(range(6)) - found).norm() / found.norm()) < 1e-5


def test_byzfls_own_client_where_it_is_installed() -> None:
    client = pytest.importorskip("byzfl.fed_framework.client")
    stand_in = client.Client.__new__(client.Client)
    stand_in.momentum, stand_in.momentum_gradient = BETA, torch.zeros(3)
    expected = torch.zeros(3)
    for g in torch.randn(5, 3, generator=torch.Generator().manual_seed(0)):
        stand_in.get_flat_gradients = lambda g=g: g
        expected = BETA * expected + (1 - BETA) * g
        assert torch.allclose(stand_in.get_flat_gradients_with_momentum(), expected, rtol=1e-5)


def test_by_hand_with_local_epochs_and_a_falling_rate() -> None:
    at = simulation(local_steps=None, local_epochs=2, lr_schedule="step(every=1, factor=0.5)")
    kept = at.momenta.of(range(6))
    for round in range(3):
        lr = 0.05 * 0.5**round
        assert at.training.recipe(round).lr == lr
        raw = at.training.updates(at.params, round, range(6))
        kept = BETA * kept + (1 - BETA) * raw / lr
        before = at.params
        at.step()
        assert torch.allclose(at.params, before + lr * kept.mean(0), atol=1e-7)
        assert torch.allclose(at.momenta.of(range(6)), kept, atol=1e-6)


def test_momenta_of_absent_clients_stay_as_they_are() -> None:
    at = simulation(participation=0.5)
    for _ in range(4):
        present, before = at._participants(), at.momenta
        at.step()
        absent = np.setdiff1d(np.arange(6), present)
        assert torch.equal(at.momenta.of(absent), before.of(absent))
        assert not (at.momenta.of(present) == before.of(present)).all(dim=1).any()
        assert set(at.momenta.known) == {*before.known, *present}  # of clients not seen nothing is kept


def test_a_rate_of_zero_teaches_nothing_and_breaks_nothing() -> None:
    at = simulation(lr_schedule="step(every=1, factor=1e-200)")
    for _ in range(3):
        at.step()
    assert at.training.recipe(2).lr == 0
    assert bool(torch.isfinite(at.momenta.of(range(6))).all())
    assert bool(torch.isfinite(at.params).all())


@dataclass(frozen=True, kw_only=True)
class Watching(Attack):
    """Sends what honest clients would, and keeps what it saw."""

    knowledge = Knowledge.ALL

    def craft(self, view: AttackerView, state: None) -> tuple[Tensor, None]:
        """Keep, and send the own rows."""
        saw.append((view.own, view.honest, view.train(None)))
        return view.own, None


saw: list[tuple[Tensor, Tensor, Tensor]] = []


def test_attackers_see_honest_momenta_and_know_their_own() -> None:
    saw.clear()
    honest = simulation()
    at = simulation(attack="ipm")
    at.attack = Watching()
    for _ in range(3):
        at.step()
        honest.step()
        own, others, again = saw[-1]
        sent = at.settings.lr * at.momenta.of(range(6))
        assert torch.allclose(own, sent[at.malicious], atol=1e-7)
        assert torch.allclose(others, sent[~at.malicious], atol=1e-7)
        assert torch.equal(again, own)
    assert torch.equal(at.params, honest.params)  # who sends its own momentum is honest


def test_label_flippers_keep_a_momentum_of_what_they_learn() -> None:
    at = simulation(attack="label_flip")
    clean = simulation()
    at.step()
    clean.step()
    honest, others = np.flatnonzero(~at.malicious), np.flatnonzero(at.malicious)
    assert torch.allclose(at.momenta.of(honest), clean.momenta.of(honest), atol=1e-7)
    assert not torch.allclose(at.momenta.of(others), clean.momenta.of(others), atol=1e-3)


@pytest.mark.parametrize("attack", ["none", "alie", "label_flip"])
def test_a_resumed_cell_is_the_same_bit_for_bit(attack: str) -> None:
    point = {"attack": attack, "aggregator": "centered_clipping", "participation": 0.7}
    whole, half, again = (simulation(**point) for _ in range(3))
    whole.run()
    half.step()
    half.step()
    restore(again, *snapshot(half))
    again.run()
    assert torch.equal(again.params, whole.params)
    assert torch.equal(again.momenta.of(range(6)), whole.momenta.of(range(6)))


def test_without_momentum_nothing_changes_not_even_the_key() -> None:
    plain = simulation(worker_momentum=0.0)
    assert plain.momenta is None
    assert "worker_momentum" not in plain.cell.identity
    assert cell_of(worker_momentum=0.0).key != cell_of().key
    assert Settings.of(plain.cell.identity).worker_momentum == 0.0


def test_rules_that_take_updates_for_trajectories_refuse() -> None:
    for rule in ("fedredefense", "nnm > fedredefense"):
        sweep = make_sweep({}, {"aggregator": rule, "attack": "none", "worker_momentum": 0.9}, "test")
        (planned,) = expand(canonical(sweep))
        assert planned.infeasible is not None
        assert "with worker_momentum = 0.9 an update mixes many rounds" in planned.infeasible
