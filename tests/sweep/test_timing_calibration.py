"""Two rounds of each kind, and nothing of them among the results."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path

import pytest

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import CellRecord, Costs, Counts, Metrics
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner.backend import Tell, ignore
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.recording import record
from robustbench_fl.sweep.runner.stopping import Stop
from robustbench_fl.sweep.timing import Times, calibrate, samples

METRICS = dict.fromkeys(Metrics.model_fields) | {
    "accuracy": 0.5, "accuracy_std": 0.0, "class_accuracy": [0.5], "worst_class_accuracy": 0.5,
}  # fmt: skip

GRID = {"aggregator": "mean,krum", "attack": "none,alie", "malicious": [0.2, 0.5], "rounds": [1, 30]}
PLAN = expand(make_sweep({}, {**GRID, "eval_every": 10, "seeds": 3}))


class Clockwork:
    """A backend on which a round of training takes a second and an evaluation a tenth, but krum breaks."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def run(
        self, cells: Iterable[Planned], stop: Stop, tell: Tell = ignore
    ) -> Generator[CellRecord, None, None]:
        """Yield records that are made up."""
        for planned in cells:
            if planned.cell.aggregator == "krum":
                yield record(planned, self.environment, status="failed", reason="broken")
                continue
            rounds = planned.cell.settings.rounds
            counts = dict.fromkeys(Counts.model_fields, 0) | {"rounds": rounds}
            costs = Costs(
                train_seconds=float(rounds), attack_seconds=0.0, aggregate_seconds=0.0,
                evaluate_seconds=0.1 * rounds, peak_memory_mb=None,
            )  # fmt: skip
            parts = {"costs": costs, "counts": Counts(**counts), "metrics": METRICS}
            yield record(planned, self.environment, status="done", **parts)


def test_one_short_cell_a_kind_which_is_none_of_the_sweep() -> None:
    short = samples(PLAN, Times())
    assert sorted((p.cell.aggregator, p.cell.attack) for p in short) == [
        ("krum", "alie"), ("krum", "none"), ("mean", "alie"), ("mean", "none"),
    ]  # fmt: skip
    assert {p.cell.settings.rounds for p in short} <= {1, 2}
    assert all(p.infeasible is None for p in short)
    assert not {p.cell.key for p in short} & {p.cell.key for p in PLAN}


def test_what_is_learnt_is_carried_to_all_rounds(tmp_path: Path) -> None:
    times = Times()
    failed = calibrate(samples(PLAN, times), times, Clockwork(Environment(data_dir=tmp_path)))
    assert sorted(failed) == ["krum under alie: failed, broken", "krum under none: failed, broken"]
    for planned in PLAN:
        rounds = planned.cell.settings.rounds
        wanted = {1: 1.1, 30: 30.3}[rounds] if planned.cell.aggregator == "mean" else None
        assert times.seconds(planned.cell) == (wanted and pytest.approx(wanted))
    assert samples([p for p in PLAN if p.cell.aggregator == "mean"], times) == []
