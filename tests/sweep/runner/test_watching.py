"""Events, logs and curves of records, written and read back without running a cell."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.cli.curves import Curves
from robustbench_fl.cli.running import _running
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.files import WriteError
from robustbench_fl.core.record import CellRecord, Metrics
from robustbench_fl.store import Store
from robustbench_fl.sweep.runner.events import EventLog
from robustbench_fl.sweep.runner.observers import Logs, Pace, log_path

METRICS = dict.fromkeys(Metrics.model_fields) | {
    "accuracy": 0.5, "accuracy_std": 0.0, "class_accuracy": [0.5], "worst_class_accuracy": 0.5,
}  # fmt: skip

DEFAULTS: dict[str, Any] = {
    "timeout": None, "retry_timeouts": 0, "fail_fast": False, "max_failures": None, "existing": "missing",
    "retry_failed": False, "keep_logs": False, "keep_stale": False, "events": None, "tensorboard": None,
    "checkpoint_every": None, "take_over": False, "wandb": False, "mlflow": False,
}  # fmt: skip


def record(key: str = "a" * 16, **parts: Any) -> CellRecord:
    labels = {
        "dataset": "digits", "model": "mlp", "partition": "iid", "aggregator": "mean", "attack": "none",
    }  # fmt: skip
    facts = {
        "needs": [], "detector": False, "ranked": True, "knowledge": "nothing", "knows_defence": False,
        "adaptive": False, "category": "none",
    }  # fmt: skip
    cell = {axis: {"name": name} for axis, name in labels.items()}
    cell |= {"malicious": 0.0, "clients": 4, "participation": 1.0, "rounds": 2, "seed": 0}
    whole = {"key": key, "status": "done", "cell": cell, "labels": labels, "facts": facts}
    return CellRecord.model_validate({**whole, "metrics": METRICS, **parts})


def test_events_are_appended_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "events.jsonl"
    for how in ("SIGTERM", "completed"):
        pace = Pace({"a" * 16: 1.0, "b" * 16: 1.0}, clock=iter(range(0, 1000, 5)).__next__)
        log = EventLog(str(path), pace)
        log.started("demo", jobs=3)
        one = record(status="failed", reason="no\nluck – ever")
        pace.finished(one)
        log.finished(one)
        log.ended(how)
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [row["event"] for row in rows] == ["run_started", "cell_finished", "run_ended"] * 2
    assert rows[0]["jobs"] == 3
    assert rows[1]["reason"] == "no\nluck – ever"
    assert (rows[1]["finished"], rows[1]["cells"], rows[1]["seconds"]) == (1, 2, None)
    assert rows[1]["cells_per_second"] > 0
    assert rows[1]["seconds_left"] > 0
    assert [row["how"] for row in rows if row["event"] == "run_ended"] == ["SIGTERM", "completed"]
    assert rows[-1]["statuses"] == {"failed": 1}


def test_events_that_cannot_be_written_are_said(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"Cannot write the events to .*: Is a directory"):
        EventLog(str(tmp_path), Pace({}))
    if os.path.exists("/dev/full"):
        with pytest.raises(WriteError, match="Cannot write the events to '/dev/full': No space left"):
            EventLog("/dev/full", Pace({})).started("demo", jobs=1)


def test_a_log_goes_with_its_failure(tmp_path: Path) -> None:
    logs, failed = Logs(tmp_path), record(status="failed", reason="no")
    logs.keep(failed.key, b"what it said")
    logs.keep("b" * 16, b"")
    logs.finished(failed)
    assert log_path(tmp_path, failed.key).read_bytes() == b"what it said"
    assert len(list((tmp_path / "logs").iterdir())) == 1
    Logs(tmp_path, keep_all=True).finished(record())
    assert log_path(tmp_path, failed.key).exists()
    logs.finished(record())
    assert not (tmp_path / "logs").exists()


def test_curves_of_earlier_cells_are_written_too(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    curves = {"round": [1], "accuracy": [0.5], "loss": [1.0], "attack_success": [None]}
    store = Store(tmp_path)
    text = json.dumps(record().cell, sort_keys=True, separators=(",", ":"))
    earlier = hashlib.sha256(text.encode()).hexdigest()[:16]
    store.write(record(earlier, curves=curves))
    watching = Curves(store, tmp_path / "boards")
    watching.finished(record("b" * 16, curves=curves))
    watching.finished(record("c" * 16, status="failed", reason="no"))
    found = {path.parent.name for path in (tmp_path / "boards").rglob("*tfevents*")}
    assert found == {earlier, "b" * 16}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"timeout": "soon"}, "--timeout must be a length of time"),
        ({"retry_timeouts": 2}, "nothing to retry without a --timeout"),
        ({"fail_fast": True, "max_failures": 3}, "--max-failures at 3: give one"),
        ({"existing": "never", "retry_failed": True}, "give one"),
        ({"tensorboard": __file__}, "put it before --tensorboard"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _running(**{**DEFAULTS, **flags})


def test_flags_that_do(tmp_path: Path) -> None:
    running = _running(**{**DEFAULTS, "timeout": "1m", "retry_timeouts": 1, "fail_fast": True})
    assert (running.policy.timeout, running.policy.retry_timeouts, running.policy.max_failures) == (60, 1, 1)


def test_a_flag_that_was_removed_says_so() -> None:
    from click.testing import CliRunner

    from robustbench_fl.cli.main import cli

    done = CliRunner().invoke(cli, ["sweep", "-a", "mean", "-t", "none", "--cells-per-batch", "4"])
    assert "--cells-per-batch was removed" in str(done.exception or done.output)
    assert "--cells-per-batch" not in CliRunner().invoke(cli, ["sweep", "--help"]).output
