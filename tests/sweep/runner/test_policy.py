"""Which cells are due, how long a hanging one is waited for, when a run gives up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from robustbench_fl.core.record import FINAL, CellRecord, Status
from robustbench_fl.sweep.runner.backend import ignore
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.local import _Run
from robustbench_fl.sweep.runner.observers import FailureLimit, Pace
from robustbench_fl.sweep.runner.policy import RunPolicy, due
from robustbench_fl.sweep.runner.stopping import Stop

NOT_FINAL = {"failed", "timeout", "oom", "interrupted"}


@pytest.mark.parametrize(
    ("existing", "retry_failed", "run_again"),
    [
        ("missing", False, {"oom", "interrupted"}),
        ("missing", True, NOT_FINAL),
        ("always", False, {*NOT_FINAL, *FINAL}),
        ("never", False, set()),
    ],
)
def test_what_is_run_again(existing: Any, retry_failed: bool, run_again: set[str]) -> None:
    is_due = due(existing, retry_failed=retry_failed)
    assert {status for status in get_args(Status) if is_due(status)} == run_again
    assert is_due(None)


@pytest.mark.parametrize(("timeout", "grace"), [(1, 2), (30, 3), (300, 30), (3600, 60), (None, 2)])
def test_grace_is_a_tenth_within_bounds(timeout: float | None, grace: float) -> None:
    assert RunPolicy(timeout=timeout).grace == grace


def test_a_timeout_of_years_can_be_waited_for(tmp_path: Path) -> None:
    stop = Stop()
    policy, environment = RunPolicy(timeout=9e8), Environment(data_dir=tmp_path)
    run = _Run(1, lambda number: None, environment, policy, None, stop, ignore)  # type: ignore[arg-type]
    run._workers = [SimpleNamespace(task=object(), seconds_left=9e8, signs=[], overdue=False)]  # type: ignore[list-item]
    stop.request("of this test")  # which ends the wait
    assert run.news() == []


def finished(key: str, status: str = "done") -> CellRecord:
    return CellRecord.model_construct(key=key, status=status)


def test_the_limit_counts_failures_only() -> None:
    stop = Stop()
    limit = FailureLimit(2, stop)
    for status in ("done", "failed", "interrupted", "diverged", "infeasible"):
        limit.finished(finished("a", status))
    assert not stop.requested
    limit.finished(finished("b", "oom"))
    assert stop.reason == "2 cells failed"


def test_time_left_follows_the_weights_of_what_is_left() -> None:
    now = 100.0
    pace = Pace({"a": 1.0, "b": 3.0, "no": 0.0, "c": 4.0}, clock=lambda: now)
    assert pace.rate is pace.seconds_left is None
    pace.finished(finished("no", "infeasible"))
    assert pace.rate is pace.seconds_left is None
    now = 110.0
    pace.finished(finished("a"))
    assert (pace.count, pace.rate, pace.seconds_left) == (2, 0.1, 70.0)
    now = 140.0
    pace.finished(finished("b"))
    assert (pace.rate, pace.seconds_left) == (0.05, 40.0)
    pace.finished(finished("c"))
    assert pace.seconds_left == 0.0
