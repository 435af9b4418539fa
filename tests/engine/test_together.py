"""Clients of several cells in one batch of local training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from robustbench_fl.engine.jobs import joined
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.engine.together import train_together
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import prepared

HERE = Environment(data_dir=Path("/nonexistent"))
SMALL = {"clients": 8, "rounds": 3, "root_size": 50, "malicious": 0.25, "model": "mlp(hidden=[16])"}


def simulations(**point: Any) -> list[Simulation]:
    plan = expand(make_sweep({}, {**SMALL, "seeds": [0], **point}, "test"))
    return [prepared(planned.cell, HERE) for planned in plan]


def advanced_together(cells: list[Simulation]) -> None:
    for _ in range(3):
        works = [cell.begin_round() for cell in cells]
        for cell, work, rows in zip(cells, works, train_together(cells, works), strict=True):
            cell.end_round(work, rows)


# Label maps, label maps on odd passes, triggers, idle attackers, several shares of malicious clients.
POINTS: dict[str, dict[str, Any]] = {
    "rules": {"aggregator": ["mean", "krum", "fltrust"], "attack": ["none", "sign_flip"]},
    "poison": {
        "aggregator": ["mean"],
        "attack": ["none", "label_flip", "scaling", "dba", "mpaf", "targeted_label_flip"],
        "malicious": [0, 0.25, 0.5],
        "local_epochs": 2,
    },
    "recipe": {
        "aggregator": ["mean", "median"],
        "attack": ["none", "scaling"],
        "augment": "crop_flip(padding=1)",
        "momentum": 0.9,
        "proximal_mu": 0.1,
        "lr_schedule": "cosine",
        "server": "momentum",
    },
}


@pytest.mark.parametrize("name", POINTS)
def test_numbers_are_those_of_the_cells_alone_bit_for_bit(name):
    together, alone = simulations(**POINTS[name]), simulations(**POINTS[name])
    assert len(together) > 3
    advanced_together(together)
    for one, other in zip(together, alone, strict=True):
        other.run()
        assert torch.equal(one.params, other.params), other.cell.attack
        assert one.scores.accuracy == other.scores.accuracy
        assert one.timers.seconds["train"] > 0


@pytest.mark.parametrize("model", ["mlp(hidden=[16])", "logistic"])
def test_gradient_masks_of_some_cells_leave_the_others_within_float_tolerance(model):
    point = {"aggregator": "mean", "attack": ["none", "neurotoxin"], "model": model}
    together, alone = simulations(**point), simulations(**point)
    advanced_together(together)
    for one, other in zip(together, alone, strict=True):
        other.run()
        assert (one.params - other.params).norm() < 1e-5 * other.params.norm()


def test_joined_jobs_make_up_what_only_some_have():
    cells = simulations(aggregator="mean", attack=["none", "scaling"], local_epochs=2)
    honest, poisoned = (cell.begin_round().jobs for cell in cells)
    assert honest.triggered is None
    assert poisoned.triggered is not None
    both = joined([honest, poisoned])
    assert len(both) == 16
    assert not both.triggered[:8].any()
    assert torch.equal(both.triggered[8:], poisoned.triggered)
    flipped = simulations(aggregator="mean", attack="label_flip")[0].begin_round().jobs
    both = joined([flipped, honest])
    assert both.samples.shape[1] == honest.samples.shape[1]
    assert (both.samples[:8, flipped.samples.shape[1] :] == -1).all()
    assert torch.equal(both.label_maps[8:], torch.arange(10).expand(8, 10))
    assert joined([honest]) is honest
