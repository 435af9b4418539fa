"""A server that gets a cell's updates gives the cell's aggregates, round by round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_fl import Server
from robustbench_fl.api import Need
from robustbench_fl.engine import simulation
from robustbench_fl.engine.server import ServerRound, Verdict, serve
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import simulate

RECIPE = {"lr": 0.05, "local_epochs": 1, "batch_size": 32, "momentum": 0.5}
ROUNDS = 4


def recorded(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, list[tuple[Tensor, ServerRound, Verdict]]]:
    """Run a cell with six of eight clients a round; return it and what its server met."""
    met: list[tuple[Tensor, ServerRound, Verdict]] = []

    def watched(asked: Any, state: Any, updates: Tensor, context: ServerRound, *more: Any) -> Any:
        verdict, following = serve(asked, state, updates, context, *more)
        met.append((updates, context, verdict))
        return verdict, following

    monkeypatch.setattr(simulation, "serve", watched)
    point = {
        "model": "mlp(hidden=[16])", "malicious": 0.25, "seeds": [3], "clients": 8, "participation": 0.75,
        "rounds": ROUNDS, "root_size": 50, "aggregator": rule, "attack": "gaussian", "server_lr": 0.7,
        **RECIPE,
    }  # fmt: skip
    (planned,) = expand(make_sweep({}, point, "test"))
    return simulate(planned.cell, Environment(data_dir=Path("/nonexistent"))), met


@pytest.mark.parametrize(
    "rule",
    [
        "bucketing(s=2) > median", "centered_clipping", "sequential_centered_clipping", "foolsgold",
        "fldetector(start=1)", "fedredefense", "fedredefense(preset=fast)", "fltrust", "flanders",
        "mean(weighted=true)",
    ],
)  # fmt: skip
def test_it_gives_the_cells_aggregates(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, met = recorded(rule, monkeypatch)
    assert len(met) == ROUNDS
    server = Server(
        rule,
        f=2 if Need.F in cell.rule.needs else None,
        model=cell.model,
        params=cell.initial_params,
        root=cell.federation.root_data(),
        recipe=RECIPE,
        seed=3,
    )
    for updates, context, verdict in met:
        given = {"client_ids": context.client_ids, "sample_counts": context.sample_counts}
        # The cell's server takes 0.7 times the aggregate as its step, so it is said where clients began.
        outcome = server.aggregate(updates, params=context.params, **given)
        torch.testing.assert_close(outcome.aggregate, verdict.aggregation.aggregate, rtol=0, atol=1e-6)
        if verdict.aggregation.rejected is not None:
            assert outcome.rejected.tolist() == verdict.aggregation.rejected.tolist()


def test_modules_give_the_same_as_flat_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, met = recorded("fltrust", monkeypatch)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    nn.utils.vector_to_parameters(cell.initial_params.clone(), net.parameters())
    updates, _, verdict = met[0]
    models = []
    for update in updates:
        client = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
        nn.utils.vector_to_parameters(cell.initial_params + update, client.parameters())
        models.append(client)
    server = Server("fltrust", model=net, root=cell.federation.root_data(), recipe=RECIPE, seed=3)
    new = server.aggregate_models(models).aggregate
    net.load_state_dict(new)
    after = nn.utils.parameters_to_vector(net.parameters()).detach()
    expected = cell.initial_params + verdict.aggregation.aggregate
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-6)
