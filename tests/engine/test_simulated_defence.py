"""What an attacker who knows the rule can foresee of the server's answer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.attacks.adaptive_fedredefense import AdaptiveFedREDefense
from robustbench_fl.engine.defence import SimulatedDefence
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import simulate


@pytest.fixture(scope="module")
def attacked() -> tuple[Simulation, list[Any]]:
    """Return a cell of four rounds, the attack on from the second, and what the attack saw and sent."""
    seen: list[Any] = []
    craft = AdaptiveFedREDefense.craft

    def spied(self: AdaptiveFedREDefense, view: Any, state: Any) -> Any:
        rows, after = craft(self, view, state)
        seen.append((view, rows))
        return rows, after

    given = {
        "model": "mlp(hidden=[30])",
        "aggregator": "fedredefense(first_budget=20, later_budget=20)",
        "attack": "adaptive_fedredefense(mode=blend, blended=min_max, evaluations=3, start=1)",
        "clients": 8, "rounds": 4, "root_size": 50, "malicious": 0.25, "seeds": [0],
    }  # fmt: skip
    (planned,) = expand(make_sweep({}, given, "test"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AdaptiveFedREDefense, "craft", spied)
        return simulate(planned.cell, Environment(data_dir=Path("/nonexistent"))), seen


def test_fedredefense_is_foreseen_exactly(attacked: tuple[Simulation, list[Any]]) -> None:
    simulation, seen = attacked
    assert len(seen) == 3
    for view, rows in seen:
        foreseen = view.defence.aggregate(rows)
        for row, client in enumerate(view.client_ids):
            for name, values in foreseen.diagnostics.items():
                stored = simulation.ledger.diagnostics[name][view.round][str(client)]
                if stored is None:
                    assert values[row].isnan()
                else:
                    assert float(values[row]) == pytest.approx(stored, rel=1e-4)


def test_another_rule_starts_from_the_same_state(attacked: tuple[Simulation, list[Any]]) -> None:
    _, seen = attacked
    view, rows = seen[-1]
    defence: SimulatedDefence = view.defence
    strict = defence.with_rule(dataclasses.replace(defence.rule, threshold=0.3))  # type: ignore[type-var]
    assert (strict.state, strict.updates, strict.context) == (defence.state, defence.updates, defence.context)
    assert defence.rule.threshold == 0.6  # type: ignore[attr-defined]
    errors = [server.aggregate(rows).diagnostics["error"] for server in (defence, strict)]
    iterations = [server.aggregate(rows).diagnostics["iterations"] for server in (defence, strict)]
    assert (errors[1] < errors[0]).all()
    assert (iterations[1] > iterations[0]).all()


def test_every_view_has_the_network(attacked: tuple[Simulation, list[Any]]) -> None:
    simulation, seen = attacked
    assert all(view.model is simulation.model for view, _ in seen)
