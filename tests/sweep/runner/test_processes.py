"""The process that knows methods: what comes back from it, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from robustbench_fl.core.errors import UsageError
from robustbench_fl.store.errors import NewerSchema
from robustbench_fl.sweep.runner.processes import MethodProcess

PLUGIN = """
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator, register

@register("only_here")
@dataclass(frozen=True, kw_only=True)
class OnlyHere(Aggregator):
    '''The mean.'''
    def aggregate(self, updates, view, state):
        return Aggregation(updates.mean(0)), state
"""

HELPERS = """
import os, signal, sys, time, warnings
from robustbench_fl.core.errors import UsageError
from robustbench_fl.store.errors import NewerSchema

def facts(name):
    from robustbench_fl.api import registry
    warnings.warn("for users")
    warnings.warn("for programmers", DeprecationWarning)
    known = name in registry.names("aggregators")
    return os.getpid(), os.environ["OMP_NUM_THREADS"], known, "torch" in sys.modules
def usage(): raise UsageError("say it better")
def newer(): raise NewerSchema(9, 2)  # does not survive pickling
def fault(): return 1 / 0
def killed(): os.kill(os.getpid(), signal.SIGKILL)
def slow(): time.sleep(300)
"""

CODE = """
import os, sys, threading, time, warnings
from pathlib import Path
import helpers
from robustbench_fl.core.errors import RobustbenchError, UsageError
from robustbench_fl.store.errors import NewerSchema
from robustbench_fl.sweep.runner.processes import MethodProcess

def said(call):
    try:
        call()
    except Exception as error:
        return type(error), str(error)

if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "7"
    with MethodProcess((Path("plugin.py").resolve(),), ready_for="torch") as methods:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            pid, threads, there, torch = methods.call(helpers.facts, "only_here")
        assert pid != os.getpid() and threads == "1" and there and torch
        assert [str(one.message) for one in heard] == ["for users"], heard
        assert said(lambda: methods.call(helpers.usage)) == (UsageError, "say it better")
        kind, text = said(lambda: methods.call(helpers.newer))
        assert issubclass(kind, RobustbenchError) and "later robustbench-fl" in text
        kind, text = said(lambda: methods.call(helpers.fault))
        assert kind is RuntimeError and "ZeroDivisionError" in text and "in fault" in text
        assert methods.call(os.getpid) == pid
        for _ in range(2):
            kind, text = said(lambda: methods.call(helpers.killed))
            assert kind is RobustbenchError and "killed by signal 9" in text, text
    with MethodProcess() as methods:
        threading.Timer(1.0, methods.close).start()
        began = time.monotonic()
        kind, text = said(lambda: methods.call(helpers.slow))
        assert kind is RobustbenchError and time.monotonic() - began < 60
    assert "torch" not in sys.modules and os.environ["OMP_NUM_THREADS"] == "7"
"""


def test_a_call_returns_raises_and_warns_as_here_and_a_dead_process_is_named(tmp_path: Path) -> None:
    for name, text in (("plugin", PLUGIN), ("helpers", HELPERS), ("code", CODE)):
        (tmp_path / f"{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "code.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert not done.stderr, done.stderr
    assert done.returncode == 0


def test_where_torch_is_imported_functions_are_called_here() -> None:
    import torch

    def fails() -> None:
        raise NewerSchema(torch.tensor(9).item(), 2)

    with MethodProcess(ready_for="torch") as methods, pytest.raises(UsageError, match="schema 9"):
        methods.call(fails)
