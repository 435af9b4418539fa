"""What becomes of a cell that raises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.errors import PartitionError
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner import execute as runner
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import LONGEST_REASON, execute


@pytest.fixture
def planned() -> Planned:
    return expand(make_sweep({}, {"aggregator": "mean", "attack": "none"}))[0]


def status_and_reason(planned: Planned, monkeypatch: pytest.MonkeyPatch, fail: object) -> tuple[str, str]:
    monkeypatch.setattr(runner, "simulate", fail)
    record = execute(planned, Environment(data_dir=Path("/data/of/mine")))
    assert record.reason
    return record.status, record.reason


def test_memory_that_torch_cannot_get_is_oom(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    status, reason = status_and_reason(
        planned, monkeypatch, lambda *_, **__: torch.empty(2**60, dtype=torch.uint8)
    )
    assert status == "oom"
    assert "can't allocate memory" in reason


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (MemoryError("all of it"), "oom", "MemoryError: all of it"),
        (RuntimeError("odd"), "failed", "RuntimeError: odd"),
        (PartitionError("Too few.\nTake more."), "failed", "Too few."),
        (ValueError("x" * 10_000), "failed", ("ValueError: " + "x" * 10_000)[:LONGEST_REASON]),
        (KeyError("/data/of/mine/a.npz"), "failed", "KeyError: '<mine>/a.npz'"),
    ],
)
def test_a_reason_is_one_line_without_folders(
    planned: Planned, monkeypatch: pytest.MonkeyPatch, error: Exception, status: str, reason: str
) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise error

    assert status_and_reason(planned, monkeypatch, fail) == (status, reason)
