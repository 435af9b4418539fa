"""The baselines: what root data alone and clients alone reach, against plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustbench_fl.api import build
from robustbench_fl.core.settings import Settings
from robustbench_fl.engine.client_jobs import make_jobs, make_root_jobs
from robustbench_fl.engine.evaluation import evaluate
from robustbench_fl.engine.jobs import Jobs
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.engine.snapshot import restore, snapshot
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import canonical, expand
from robustbench_fl.sweep.runner.baselines import sanity
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute, prepared, simulate

HERE = Environment(data_dir=Path("/nonexistent"))
SMALL: dict[str, Any] = {"clients": 6, "rounds": 3, "malicious": 0.34, "seeds": [0], "eval_last": 2}


def planned(aggregator: str, **point: Any):
    given = {"model": "mlp(hidden=[16])", "aggregator": aggregator, "attack": "none", **SMALL, **point}
    return expand(canonical(make_sweep({}, given, "test")))[0]


def simulated(aggregator: str, **point: Any) -> Simulation:
    return simulate(planned(aggregator, **point).cell, HERE)


def plain_sgd(at: Simulation, weights: Tensor, jobs: Jobs, row: int, lr: float) -> Tensor:
    """Return `weights` after the steps of one job, one nn.Module and one optimiser."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    nn.utils.vector_to_parameters(weights.clone(), net.parameters())
    optimiser = torch.optim.SGD(net.parameters(), lr=lr)
    for batch in jobs.samples[row]:
        batch = batch[batch >= 0]
        if len(batch):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(net(at.federation.images(batch)), at.federation.labels(batch))
            loss.backward()
            optimiser.step()
    return nn.utils.parameters_to_vector(net.parameters()).detach()


def relative(found: Tensor, expected: Tensor, start: Tensor) -> float:
    return float((found - expected).norm() / (expected - start).norm())


def test_root_only_is_plain_training_on_the_root_set_whatever_the_server_does() -> None:
    at = simulated("root_only", server="momentum(beta=0.5)", server_lr=0.3, lr_schedule="linear")
    weights = at.initial_params
    for round in range(3):
        recipe = at.training.recipe(round)
        weights = plain_sgd(at, weights, make_root_jobs(at.federation, recipe, 0, round), 0, recipe.lr)
    assert relative(at.params, weights, at.initial_params) < 1e-5


def test_local_only_is_the_mean_of_clients_that_train_alone() -> None:
    at = simulated("local_only", participation=0.5)
    weights = [at.initial_params] * 6
    for round in range(3):
        at.round = round
        clients = [int(c) for c in at._participants()]
        jobs = make_jobs(at.federation, clients, at.training.recipe(round), 0, round)
        for row, client in enumerate(clients):
            weights[client] = plain_sgd(at, weights[client], jobs, row, 0.05)
        if round >= 1:
            found = [
                evaluate(at.model, w, at.federation.test_images, at.federation.test_labels) for w in weights
            ]
            assert at.scores.accuracy[round - 1] == pytest.approx(np.mean([f.accuracy for f in found]))
            assert at.scores.loss[round - 1] == pytest.approx(np.mean([f.loss for f in found]), rel=1e-4)
    assert at.scores.rounds == [2, 3]  # only what the final figures are means of
    for client in range(6):
        assert torch.allclose(at.own_models[client], weights[client], atol=1e-6)
    assert torch.equal(at.params, at.initial_params)


def test_local_only_agrees_with_the_sanity_check_of_a_partition() -> None:
    settings = Settings(clients=6, rounds=3)
    mlp = build.text_of(build.make("models", "mlp(hidden=[16])"))
    split = build.text_of(build.make("partitions", "balanced_dirichlet(alpha=0.1)"))
    found = sanity(dataset="digits", partition=split, model=mlp, seed=0, settings=settings, environment=HERE)
    assert simulated("local_only", eval_last=1).scores.accuracy == [pytest.approx(found.alone_mean)]


def test_baselines_are_the_same_under_every_attack_but_for_who_counts() -> None:
    root = [simulated("root_only", attack=attack) for attack in ("none", "ipm", "label_flip", "scaling")]
    assert all(torch.equal(root[0].params, other.params) for other in root[1:])
    alone = {attack: simulated("local_only", attack=attack) for attack in ("none", "ipm", "sign_flip")}
    assert torch.equal(alone["none"].own_models, alone["ipm"].own_models)
    assert alone["ipm"].scores.accuracy == alone["sign_flip"].scores.accuracy
    assert alone["none"].scores.accuracy != alone["ipm"].scores.accuracy  # malicious clients do not count


@pytest.mark.parametrize("aggregator", ["root_only", "local_only"])
def test_their_cells_are_stored_like_others_and_never_ranked(aggregator: str) -> None:
    record = execute(planned(aggregator, attack="scaling"), HERE)
    assert record.status == "done"
    assert not record.facts.ranked
    assert record.metrics.attack_success is not None
    assert record.metrics.validation_accuracy is not None
    assert (record.image_counts is None) == (aggregator == "local_only")


def test_local_only_goes_on_from_a_checkpoint_bit_for_bit() -> None:
    whole = simulated("local_only")
    cell = planned("local_only").cell
    half, again = prepared(cell, HERE), prepared(cell, HERE)
    half.step()
    half.step()
    restore(again, *snapshot(half))
    again.run()
    assert torch.equal(again.own_models, whole.own_models)
    assert again.scores.accuracy == whole.scores.accuracy
    assert list(again.scores.last) == list(whole.scores.last)


def test_a_round_in_which_nobody_trains() -> None:
    # One client a round; where it is malicious and sends what it likes, there is nothing to train.
    at = simulated("mean", attack="mpaf", participation=0.1, rounds=6)
    assert at.round == 6


def test_they_take_no_pre_aggregator_and_root_only_needs_a_root_set() -> None:
    assert "baseline" in planned("nnm > root_only").infeasible
    assert planned("root_only", root_size=0).infeasible == "the rule needs root data, and root_size is 0"


def test_the_default_root_set_is_one_clients_share() -> None:
    at = prepared(planned("root_only", clients=9).cell, HERE)
    assert len(at.federation.root) == (1438 - 144) // 10
    sizes = [len(indices) for indices in at.federation.clients]
    assert abs(np.mean(sizes) - len(at.federation.root)) < 1
