"""Curves as TensorBoard itself reads them."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.core.errors import UsageError
from robustbench_fl.report.tensorboard import FILE_NAME, event_file, require_tensorboard, run_name

RECORD: dict[str, Any] = {
    "key": "0123456789abcdef",
    "labels": {
        "dataset": "digits", "model": "mlp(hidden=[200])", "partition": "balanced_dirichlet(alpha=0.1)",
        "aggregator": "nnm > krum", "attack": "../../alie",
    },
    "cell": {"malicious": 0.3, "seed": 7},
    "curves": {
        "round": [2, 4], "accuracy": [0.25, 0.5], "loss": [2.0, None], "attack_success": [None, None],
    },
    "detection": {"tpr": [None, 0.5, 1.0, 1.0], "fpr": [0.0, 0.0, 0.25, 0.0], "dacc": [1.0, 0.75, 1.0, 1.0]},
}  # fmt: skip


def read(folder: Path) -> dict[str, list[tuple[int, float, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(e.step, e.value, e.wall_time) for e in events.Scalars(tag)] for tag in tags}


def test_every_number_there_is_stands_at_its_round(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / FILE_NAME).write_bytes(event_file(RECORD, wall_time=1000.0))
    assert read(tmp_path) == {
        "accuracy": [(2, 0.25, 1000.0), (4, 0.5, 1000.0)],
        "loss": [(2, 2.0, 1000.0)],
        "detection/tpr": [(2, 0.5, 1000.0), (3, 1.0, 1000.0), (4, 1.0, 1000.0)],
        "detection/fpr": [(1, 0.0, 1000.0), (2, 0.0, 1000.0), (3, 0.25, 1000.0), (4, 0.0, 1000.0)],
        "detection/dacc": [(1, 1.0, 1000.0), (2, 0.75, 1000.0), (3, 1.0, 1000.0), (4, 1.0, 1000.0)],
    }


def test_a_run_is_named_by_what_it_is_and_stays_in_its_folder() -> None:
    name = run_name(RECORD)
    assert name.parts[0] == "digits"
    assert ".." not in name.parts
    assert name.parts[-2:] == ("f=0.3-seed=7", RECORD["key"])
    assert len(name.parts) == 7


def test_without_tensorboard_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def missing(name: str, *arguments: Any, **more: Any) -> Any:
        if name.split(".")[0] == "tensorboard":
            raise ImportError(name)
        return original(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"pip install 'robustbench-fl\[tensorboard\]'"):
        require_tensorboard()
