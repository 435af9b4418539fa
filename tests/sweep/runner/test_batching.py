"""Batches of cells: which run together, that their records are their own, and what a failure costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.api import registry
from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import CellRecord
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner import together
from robustbench_fl.sweep.runner.backend import Event
from robustbench_fl.sweep.runner.batching import alike, batches
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute
from robustbench_fl.sweep.runner.listening import Listener
from robustbench_fl.sweep.runner.local import LocalBackend
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.stopping import Stop
from robustbench_fl.sweep.runner.together import execute_together

HERE = Environment(data_dir=Path("/nonexistent"))
PLUGIN = """
import os
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator
from robustbench_fl.registry import register

@register("raises_late")
@dataclass(frozen=True, kw_only=True)
class RaisesLate(Aggregator):
    '''Raises in the second round.'''
    def aggregate(self, updates, view, state):
        if view.round == 1:
            raise RuntimeError("late")
        return Aggregation(updates.mean(0)), state

@register("dies_late")
@dataclass(frozen=True, kw_only=True)
class DiesLate(Aggregator):
    '''Takes its process with it in the second round.'''
    def aggregate(self, updates, view, state):
        if view.round == 1:
            os._exit(3)
        return Aggregation(updates.mean(0)), state
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "late.py"
    path.write_text(PLUGIN)
    registry.load_plugin(path)
    return path


def cells(**point: Any) -> list[Planned]:
    given = {
        "dataset": "synthetic", "aggregator": "mean,median,krum", "attack": "none,alie", "malicious": 0.3,
        "clients": 8, "rounds": 3, "model": "mlp(hidden=[8])", **point,
    }  # fmt: skip
    return expand(make_sweep({}, given))


def same(record: CellRecord) -> dict[str, Any]:
    return record.model_dump(exclude={"costs", "provenance"})


def ran_together(plan: list[Planned], policy: RunPolicy | None = None) -> dict[str, CellRecord]:
    records: list[CellRecord] = []
    execute_together(plan, HERE, policy or RunPolicy(), Listener(), records.append)
    assert len(records) == len(plan)
    return {record.key: record for record in records}


def test_cells_of_one_world_network_and_recipe_are_alike():
    first, *_ = cells()
    assert alike(first, cells(aggregator="krum", attack="alie", malicious=0.1)[0])
    for other in ({"seeds": [1]}, {"lr": 0.2}, {"model": "logistic"}, {"partition": "iid"}, {"rounds": 4}):
        assert not alike(first, cells(**other)[0]), other
    assert not alike(replace(first, infeasible="never"), first)


def test_batches_are_neighbours_and_nothing_is_taken_far_ahead():
    plan = [*cells(), *cells(seeds=[1])]
    found = list(batches(plan, 4))
    assert [len(batch) for batch in found] == [4, 2, 4, 2]
    assert [planned for batch in found for planned in batch] == plan
    assert [len(batch) for batch in batches(plan, 1)] == [1] * 12
    taken: list[Planned] = []
    stream = batches((taken.append(planned) or planned for planned in plan), 1)
    next(stream)
    assert len(taken) == 1


def test_records_are_those_of_the_cells_alone():
    plan = cells(attack="none,alie,scaling")
    found = ran_together(plan)
    for planned in plan:
        assert same(found[planned.cell.key]) == same(execute(planned, HERE))


def test_a_cell_that_fails_leaves_the_others_alone(plugin):
    plan = cells(aggregator="mean,raises_late,krum", attack="none")
    found = ran_together(plan)
    failed = found[plan[1].cell.key]
    assert (failed.status, failed.reason) == ("failed", "RuntimeError: late")
    assert "raise RuntimeError" in failed.traceback
    for planned in (plan[0], plan[2]):
        assert same(found[planned.cell.key]) == same(execute(planned, HERE))


def test_where_the_common_training_fails_the_cells_run_one_by_one(monkeypatch):
    def fails(simulations: Any, works: Any) -> None:
        raise MemoryError("no room for eight")

    monkeypatch.setattr(together, "train_together", fails)
    plan = cells(attack="none")
    retries: list[str] = []
    listener, records = Listener(), []
    listener.retrying = retries.append  # type: ignore[method-assign]
    execute_together(plan, HERE, RunPolicy(), listener, records.append)
    assert retries == ["MemoryError: no room for eight. The cells that are left run one by one."]
    assert [same(record) for record in records] == [same(execute(planned, HERE)) for planned in plan]


def test_the_timeout_of_a_batch_is_that_of_its_cells_together(monkeypatch):
    monkeypatch.setattr(
        "robustbench_fl.sweep.runner.execute.time.monotonic", iter(range(0, 1000, 10)).__next__
    )
    found = ran_together(cells(attack="none"), RunPolicy(timeout=6))
    assert {record.status for record in found.values()} == {"timeout"}
    (reason,) = {record.reason for record in found.values()}
    assert reason == "Stopped after 18 s (--timeout for each of 3 cells) with 2 of 3 rounds finished."


def test_workers_run_batches_and_a_batch_whose_worker_dies_is_run_one_by_one(plugin):
    plan = cells(aggregator="mean,dies_late,krum,median", attack="none")
    environment = replace(HERE, plugins=(plugin,))
    heard: list[Event] = []
    backend = LocalBackend(1, environment, RunPolicy(cells_per_batch=2))
    found = {record.key: record for record in backend.run(iter(plan), Stop(), heard.append)}
    assert len(found) == len(plan)
    for planned in plan:
        record = found[planned.cell.key]
        if planned.cell.aggregator == "dies_late":
            assert record.status == "failed"
            assert "twice" in record.reason
        else:
            assert same(record) == same(execute(planned, environment))
    kinds = Counter(event.kind for event in heard)
    # Two batches, the first again one by one, and its dead one once more.
    assert kinds["cell_started"] == 2 + 2 + 2 + 1
    batch = {event.facts["pid"] for event in heard[:2]}
    assert len(batch) == 1
