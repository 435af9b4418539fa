"""Time and memory of one cell run out, and what is tried again, within one process."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import CellRecord
from robustbench_fl.engine import training
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner import execute as runner
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute
from robustbench_fl.sweep.runner.listening import Listener
from robustbench_fl.sweep.runner.policy import RunPolicy


def cell(**settings: Any) -> Planned:
    point = {
        "dataset": "synthetic", "aggregator": "mean", "attack": "none", "rounds": 4, "clients": 12,
        "model": "mlp(hidden=[8])", **settings,
    }  # fmt: skip
    return expand(make_sweep({}, point))[0]


@pytest.fixture
def small() -> Planned:
    return cell()


ENVIRONMENT = Environment(data_dir=Path("/nonexistent"))


class Ear(Listener):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.rounds: list[int] = []
        self.retries: list[str] = []

    def round_finished(self, rounds: int) -> None:
        self.rounds.append(rounds)

    def retrying(self, reason: str) -> None:
        self.retries.append(reason)


def same(record: CellRecord) -> dict[str, Any]:
    return record.model_dump(exclude={"costs", "provenance"})


def test_a_cell_ends_after_the_round_in_which_its_time_is_up(
    small: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear()
    monkeypatch.setattr(runner.time, "monotonic", lambda: 100.0 + 10 * len(ear.rounds))
    record = execute(small, ENVIRONMENT, RunPolicy(timeout=20), ear)
    assert record.status == "timeout"
    assert record.reason == "Stopped after 20 s (--timeout) with 2 of 4 rounds finished."
    assert ear.rounds == [1, 2]
    assert record.metrics is None


def test_a_cell_that_has_finished_its_last_round_late_is_done(
    small: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear()
    monkeypatch.setattr(runner.time, "monotonic", lambda: 100.0 * (len(ear.rounds) == 4))
    assert execute(small, ENVIRONMENT, RunPolicy(timeout=20), ear).status == "done"


def test_a_clock_that_is_set_back_and_forth_changes_nothing(
    small: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = itertools.cycle([4e9, 0.0, 1e9, -1e9])
    monkeypatch.setattr("time.time", lambda: next(jumps))
    record = execute(small, ENVIRONMENT, RunPolicy(timeout=3600))
    assert record.status == "done"
    monkeypatch.undo()
    assert same(record) == same(execute(small, ENVIRONMENT))


@pytest.mark.parametrize("engine", ["stacked", "loop"])
def test_out_of_memory_is_tried_again_with_fewer_clients_and_the_same_numbers(
    small: Planned, monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    chunks: list[int] = []
    stacked = training._trained_stacked

    def starved(model: Any, batches: Any, start: Any, recipe: Any, size: int, updates: Any) -> Any:
        chunks.append(size)
        if size > 1:
            raise MemoryError("too many at once")
        return stacked(model, batches, start, recipe, size, updates)

    environment = replace(ENVIRONMENT, engine=engine)
    undisturbed = execute(small, environment)
    monkeypatch.setattr(training, "_trained_stacked", starved)
    ear = Ear()
    record = execute(small, environment, listener=ear)
    assert same(record) == same(undisturbed)
    if engine == "stacked":
        assert chunks == [10, 1, 1, 1, 1]
        assert ear.retries == ["Out of memory (MemoryError: too many at once). With fewer clients a batch."]


def test_out_of_memory_twice_is_oom(small: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def starved(
        cell: object, environment: object, after_round: object, chunk_divisor: int = 1, **more: object
    ) -> None:
        asked.append(chunk_divisor)
        raise MemoryError

    monkeypatch.setattr(runner, "simulate", starved)
    record = execute(small, ENVIRONMENT)
    assert (record.status, record.reason) == ("oom", "MemoryError:")
    assert "raise MemoryError" in (record.traceback or "")
    assert asked == [1, 8]


def test_a_broken_model_is_a_result_and_not_tried_again() -> None:
    ear = Ear()
    broken = cell(attack="non_finite(value=1e30)", malicious=0.3, rounds=6)
    assert execute(broken, ENVIRONMENT, listener=ear).status == "diverged"
    assert ear.rounds == [1, 2, 3, 4, 5, 6]
    assert ear.retries == []
