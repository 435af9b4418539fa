"""Plug-ins that print, fork, start processes that stay, and change what holds for all methods."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from click.testing import CliRunner

from robustbench_fl.api import registry
from robustbench_fl.cli.main import cli
from robustbench_fl.core.record import CellRecord
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute
from robustbench_fl.sweep.runner.local import LocalBackend
from robustbench_fl.sweep.runner.stopping import Stop

PLUGIN = """
import os, subprocess
from dataclasses import dataclass
from pathlib import Path
import numpy as np
import torch
from robustbench_fl.api import Aggregation, Aggregator, register

print("an import that prints")
os.write(1, b"")

@dataclass(frozen=True, kw_only=True)
class Mean(Aggregator):
    '''The mean, with a bad habit.'''
    def aggregate(self, updates, view, state):
        result = Aggregation(updates.mean(0))
        self.habit()
        return result, state

@register("changes_torch")
@dataclass(frozen=True, kw_only=True)
class ChangesTorch(Mean):
    '''Leaves other defaults behind.'''
    def habit(self):
        torch.manual_seed(1)
        torch.use_deterministic_algorithms(True)

@register("leaves_double")
@dataclass(frozen=True, kw_only=True)
class LeavesDouble(Mean):
    '''Fails, with doubles as the default and without gradients.'''
    def habit(self):
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        torch.set_num_threads(2)
        torch.set_default_device("meta")
        np.seterr(all="raise")
        raise ValueError("for a reason")

@register("forks")
@dataclass(frozen=True, kw_only=True)
class Forks(Mean):
    '''Its child returns too.'''
    def habit(self):
        os.fork()

@register("starts")
@dataclass(frozen=True, kw_only=True)
class Starts(Mean):
    '''Starts a process that stays.'''
    def habit(self):
        started = subprocess.Popen(["sleep", "777"])
        (Path(__file__).parent / "started").open("a").write(f"{started.pid}\\n")
"""


def numbers(record: CellRecord) -> Any:
    return record.model_dump(include={"metrics", "curves", "counts"})


def test_what_holds_for_all_of_torch_is_put_back_and_told(plugin: Path, cells: Any) -> None:
    environment = Environment(data_dir=plugin.parent, plugins=(plugin,))
    mean, changing, double = cells("mean", "changes_torch", "leaves_double")
    right = execute(mean, environment)
    assert not right.warnings
    [said] = execute(changing, environment).warnings
    assert "changes_torch" in said
    assert "deterministic algorithms, the state of its random numbers" in said
    failed = execute(double, environment)
    assert failed.status == "failed"
    assert "threads, gradients, the default device, NumPy's errors" in failed.warnings[0]
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.get_default_device().type == "cpu"
    assert numbers(execute(mean, environment)) == numbers(right)


def is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_ends_with_all_that_it_started(plugin: Path, cells: Any) -> None:
    environment = Environment(data_dir=plugin.parent, plugins=(plugin,))
    planned = cells("starts", "forks")
    found = {r.labels.aggregator: r for r in LocalBackend(1, environment).run(iter(planned), Stop())}
    assert {record.status for record in found.values()} == {"done"}
    assert numbers(found["forks"]) == numbers(found["starts"])
    pids = (plugin.parent / "started").read_text().split()
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(pids) == 2
    assert not any(map(is_alive, pids))


def test_what_plugins_print_is_not_in_answers(plugin: Path, tmp_path: Path, small_flags: list[str]) -> None:
    registry._plugins.discard(plugin.resolve())
    registry._entries["aggregators"] = {
        name: entry for name, entry in registry._entries["aggregators"].items() if not entry.is_plugin
    }
    words = ["plan", "-a", "forks", *small_flags, "--plugin", str(plugin), "--format", "json"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    json.loads(done.stdout)
    assert "an import that prints" in done.stderr
