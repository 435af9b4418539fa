"""Cells that hang, crash or eat memory in real worker processes, and runs that are stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.api import registry
from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import CellRecord, Metrics
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner.backend import Event
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.events import EVENT_KINDS
from robustbench_fl.sweep.runner.local import LocalBackend
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.stopping import Stop

METRICS = dict.fromkeys(Metrics.model_fields) | {
    "accuracy": 0.5, "accuracy_std": 0.0, "class_accuracy": [0.5], "worst_class_accuracy": 0.5,
}  # fmt: skip

COMMAND = [sys.executable, "-m", "robustbench_fl"]
SMALL = {
    "dataset": "synthetic", "attack": "none", "clients": "6", "rounds": "3", "model": "mlp(hidden=[8])",
}  # fmt: skip
FLAGS = [part for name, value in SMALL.items() for part in (f"--{name}", value)]

_FAULTY = """
import ctypes, os, resource, signal, sys, time
from dataclasses import dataclass
from pathlib import Path
import torch
from robustbench_fl.api import Aggregation, Aggregator
from robustbench_fl.api import register

HERE = Path(__file__).parent

@dataclass(frozen=True, kw_only=True)
class Faulty(Aggregator):
    '''The mean, with a fault in the third round.'''
    def aggregate(self, updates, view, state):
        if view.round == 2:
            self.fault()
        return Aggregation(updates.mean(0)), state

@register("hangs_once")
@dataclass(frozen=True, kw_only=True)
class HangsOnce(Faulty):
    '''Hangs in C with the interpreter's lock held and all signals blocked, the first time.'''
    def fault(self):
        try:
            (HERE / "hung").touch(exist_ok=False)
        except FileExistsError:
            return
        print("about to hang")
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        ctypes.PyDLL(None).sleep(600)

@register("sleeps")
@dataclass(frozen=True, kw_only=True)
class Sleeps(Faulty):
    '''Is slow.'''
    def aggregate(self, updates, view, state):
        time.sleep(2.1)
        return Aggregation(updates.mean(0)), state

@register("segfaults")
@dataclass(frozen=True, kw_only=True)
class Segfaults(Faulty):
    '''Reads where nothing is.'''
    def fault(self):
        print("about to crash")
        ctypes.string_at(0)

@register("eats")
@dataclass(frozen=True, kw_only=True)
class Eats(Faulty):
    '''Takes all the memory that it may have.'''
    def fault(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**28, hard))
        try:
            eaten = []
            while True:
                eaten.append(torch.ones(2**22))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "faulty.py"
    path.write_text(_FAULTY)
    return path


def cells(*rules: str) -> list[Planned]:
    return expand(make_sweep({}, {**SMALL, "aggregator": list(rules), "clients": 6, "rounds": 3}))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def stored(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the records of a folder by the name of their rule."""
    found = [json.loads(path.read_text()) for path in (folder / "cells").glob("*.json")]
    return {record["labels"]["aggregator"]: record for record in found}


def until(condition: Any, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except FileNotFoundError:
        return False


@pytest.mark.usefixtures("own_registry")
def test_what_hangs_in_native_code_is_killed_and_may_be_tried_again(plugin: Path) -> None:
    registry.load_plugin(plugin)
    logs: dict[str, bytes] = {}
    events: list[Event] = []
    # On a machine with other things to do a try may run out of time before the cell hangs.
    policy = RunPolicy(timeout=2, retry_timeouts=5, keep_logs=True)
    environment = Environment(data_dir=plugin.parent, plugins=(plugin,))
    backend = LocalBackend(1, environment, policy, logs.__setitem__)
    [record] = backend.run(iter(cells("hangs_once")), Stop(), events.append)
    assert record.status == "done"
    kinds = [event.kind for event in events]
    assert kinds == ["cell_started", *["timeout", "retry", "cell_started"] * (len(kinds) // 3)]
    assert [e.facts["attempt"] for e in events if e.kind == "cell_started"][:2] == [1, 2]
    reason = "Killed after 2 s (--timeout) and 2 s of grace with 2 of 3 rounds finished."
    assert reason in {event.facts["reason"] for event in events if event.facts.get("killed")}
    log = logs[record.key].decode()
    assert "about to hang\n" in log
    assert "in fault" in log, "where it hung"


def test_a_crash_and_a_lack_of_memory_cost_their_own_cells_only(plugin: Path) -> None:
    folder, events = plugin.parent / "out", plugin.parent / "events.jsonl"
    done = subprocess.run(
        [*COMMAND, "sweep", "-a", "segfaults,eats,mean,median", *FLAGS, "--plugin", str(plugin), "-j", "2",
         "-o", str(folder), "--events", str(events)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    by_rule = stored(folder)
    assert {rule: record["status"] for rule, record in by_rule.items()} == {
        "segfaults": "failed", "eats": "oom", "mean": "done", "median": "done",
    }  # fmt: skip
    crashed = by_rule["segfaults"]
    assert crashed["reason"] == "The worker process was killed by signal 11, twice."
    assert "Fatal Python error: Segmentation fault" in crashed["traceback"]
    assert str(plugin.parent) not in json.dumps(by_rule)
    logs = {path.stem: path.read_text() for path in (folder / "logs").iterdir()}
    assert set(logs) == {crashed["key"], by_rule["eats"]["key"]}
    assert logs[crashed["key"]].count("about to crash") == 2
    assert "The cell begins anew" in logs[by_rule["eats"]["key"]]
    told = lines(events)
    kinds = Counter((row["event"], row.get("key")) for row in told)
    assert kinds["worker_lost", crashed["key"]] == kinds["cell_started", crashed["key"]] == 2
    assert kinds["retry", by_rule["eats"]["key"]] == kinds["cell_started", by_rule["eats"]["key"]] == 1
    assert {row["event"] for row in told} == set(EVENT_KINDS) - {"timeout"}
    assert told[0]["event"] == "run_started"
    assert told[0]["cells"] == 4
    assert told[-1] | {"time": 0, "elapsed": 0} == {
        "time": 0, "elapsed": 0, "event": "run_ended", "how": "completed", "finished": 4,
        "statuses": {"failed": 1, "oom": 1, "done": 2},
    }  # fmt: skip
    assert [row["elapsed"] for row in told] == sorted(row["elapsed"] for row in told)


@pytest.fixture
def hanging(plugin: Path) -> Iterator[tuple[subprocess.Popen[str], Path, list[int]]]:
    """Give a sweep one of whose two workers hangs in C, and the ids of its workers."""
    events = plugin.parent / "events.jsonl"
    process = subprocess.Popen(
        [*COMMAND, "sweep", "-a", "hangs_once,sleeps,mean", *FLAGS, "--plugin", str(plugin), "-j", "2",
         "-o", str(plugin.parent / "out"), "--events", str(events), "--keep-logs"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        until((plugin.parent / "hung").exists)
        yield process, plugin.parent, [row["pid"] for row in lines(events) if row["event"] == "cell_started"]
    finally:
        process.kill()
        process.communicate()


def test_sigterm_records_what_is_in_flight_and_ends_all_workers(
    hanging: tuple[subprocess.Popen[str], Path, list[int]],
) -> None:
    process, folder, workers = hanging
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    until(lambda: not any(map(alive, workers)), 10)
    by_rule = stored(folder / "out")
    assert by_rule["hangs_once"]["status"] == "interrupted"
    assert by_rule["hangs_once"]["reason"] == "Stopped (SIGTERM) with 2 of 3 rounds finished."
    done = sum(record["status"] == "done" for record in by_rule.values())
    assert f"Stopped with {done} of 3 cells finished and stored" in said
    assert lines(folder / "events.jsonl")[-1]["how"] == "SIGTERM"
    assert (folder / "out" / "logs" / f"{by_rule['hangs_once']['key']}.log").read_text() == "about to hang\n"


def test_workers_do_not_outlive_a_killed_main_process(
    hanging: tuple[subprocess.Popen[str], Path, list[int]],
) -> None:
    process, _, workers = hanging
    assert all(map(alive, workers))
    process.kill()
    process.wait()
    until(lambda: not any(map(alive, workers)), 10)


def test_a_limit_on_failures_stops_the_run(plugin: Path) -> None:
    folder = plugin.parent / "out"
    command = [*COMMAND, "sweep", "-a", "segfaults,sleeps,mean", *FLAGS, "--plugin", str(plugin)]
    command += ["-j", "1", "-o", str(folder)]
    done = subprocess.run(
        [*command, "--timeout", "1", "--fail-fast"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 1
    assert "(1 cell failed). The same command goes on from there." in done.stderr
    statuses = Counter(record["status"] for record in stored(folder).values())
    assert statuses["timeout"] == 1
    assert statuses["failed"] == 0, "a crash is tried again first, after all others"


def test_a_failure_does_not_replace_a_result(plugin: Path, own_registry: None) -> None:
    from robustbench_fl.store import Store
    from robustbench_fl.sweep.run import prepare, run

    registry.load_plugin(plugin)
    asked = make_sweep({}, {**SMALL, "aggregator": ["mean", "median"], "clients": 6, "rounds": 3})
    store = Store(plugin.parent / "out")

    class Once:
        """Hands out records made elsewhere."""

        def __init__(self, **status: str) -> None:
            self.status = status

        def run(self, planned: Any, stop: Stop, tell: Any = None) -> Any:
            for one in planned:
                parts = {"status": self.status[one.cell.aggregator], "reason": "now"}
                yield CellRecord(
                    key=one.cell.key, cell=dict(one.cell.identity), labels=one.cell.labels,  # type: ignore[arg-type]
                    facts=one.facts, metrics=METRICS, **parts,  # type: ignore[arg-type]
                )  # fmt: skip

    first = prepare(asked, store)
    run(first, store, Once(mean="done", median="failed"), lambda record: None)
    assert [p.cell.aggregator for p in prepare(asked, store, retry_failed=True).pending] == ["median"]
    assert prepare(asked, store, existing="never").pending == []
    again = prepare(asked, store, existing="always")
    assert len(again.pending) == 2
    run(again, store, Once(mean="interrupted", median="interrupted"), lambda record: None)
    assert {k: r["status"] for k, r in stored(store.folder).items()} == {
        "mean": "done", "median": "interrupted",
    }  # fmt: skip
    run(again, store, Once(mean="diverged", median="done"), lambda record: None)
    assert {k: r["status"] for k, r in stored(store.folder).items()} == {"mean": "diverged", "median": "done"}
