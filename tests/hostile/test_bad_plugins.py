"""Plug-ins that return, raise and end in every wrong way: their own cells fail, and no other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute
from robustbench_fl.sweep.runner.local import LocalBackend
from robustbench_fl.sweep.runner.stopping import Stop

SOAK = os.environ.get("ROBUSTBENCH_FL_SOAK") == "1"
PLUGIN = """
import os, signal, sys, threading, time
from dataclasses import dataclass
import numpy as np
import torch
from robustbench_fl.api import Aggregation, Aggregator, Attack, register

class Odd(BaseException):
    pass

def odd(updates):
    raise Odd("of no usual kind")

GIVES = (
    lambda u: torch.tensor(1.0), lambda u: None, lambda u: u.mean(0) * 1j, lambda u: u.mean(0).long(),
    lambda u: u, lambda u: u.mean(0)[:-1], lambda u: u.mean(0).tolist(), lambda u: u.mean(0).numpy(),
    lambda u: u.mean(0).to("meta"), lambda u: u.mean(0) > 0, lambda u: 1.0, odd,
)

@register("gives")
@dataclass(frozen=True, kw_only=True)
class Gives(Aggregator):
    '''Hands back no aggregate.'''
    which: int = 0
    def aggregate(self, updates, view, state):
        return Aggregation(GIVES[self.which](updates)), state

ENDS = (
    lambda: sys.exit(0), lambda: os._exit(0), lambda: os.killpg(0, signal.SIGKILL), lambda: os.abort(),
    lambda: sys.setrecursionlimit(10**9) or deep(),
)
STAYS = (
    lambda: os.closerange(1, 2), lambda: threading.Thread(target=time.sleep, args=(777,)).start(),
    lambda: print("x" * 10**7), lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    lambda: os.chdir("/"), lambda: os.environ.clear(),
)

def deep():
    return [deep()]

@register("ends")
@dataclass(frozen=True, kw_only=True)
class Ends(Aggregator):
    '''Ends its process.'''
    which: int = 0
    def aggregate(self, updates, view, state):
        ENDS[self.which]()

@register("stays")
@dataclass(frozen=True, kw_only=True)
class Stays(Aggregator):
    '''Does what is not its own.'''
    which: int = 0
    def aggregate(self, updates, view, state):
        STAYS[self.which]()
        return Aggregation(updates.mean(0)), state

@register("infeasible_raises")
@dataclass(frozen=True, kw_only=True)
class InfeasibleRaises(Gives):
    '''Fails when it is asked.'''
    def infeasible(self, n_clients, f):
        raise Odd("asked")

@register("refuses_raises")
@dataclass(frozen=True, kw_only=True)
class RefusesRaises(Gives):
    '''Fails when it is asked.'''
    def refuses(self, model):
        raise Odd("asked")

@register("infeasible_answers")
@dataclass(frozen=True, kw_only=True)
class InfeasibleAnswers(Gives):
    '''Answers with a number.'''
    def infeasible(self, n_clients, f):
        return 5
"""


def test_what_is_no_aggregate_is_no_result(plugin: Path, cells: Any) -> None:
    environment = Environment(data_dir=plugin.parent, plugins=(plugin,))
    for which in range(12):
        [cell] = cells(f"gives(which={which})")
        made = execute(cell, environment)
        assert made.status == "failed", which
        assert made.metrics is None
        assert ("Odd: of no usual kind" if which == 11 else "Return ") in (made.reason or "")


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("infeasible_raises", "(infeasible): Odd: asked. Correct the plug-in"),
        ("refuses_raises", "(refuses): Odd: asked. Correct the plug-in"),
        ("infeasible_answers", "(infeasible): TypeError: it returned int"),
    ],
)
def test_a_question_that_a_plug_in_cannot_answer_is_a_sentence(
    plugin: Path, run_here: Any, rule: str, says: str, small_flags: list[str]
) -> None:
    done = run_here(plugin.parent, "plan", "-a", rule, *small_flags, "--plugin", plugin.name)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Error: {rule} failed when it was asked whether it can run {says}" in done.stderr


@pytest.mark.parametrize("how", ["raise BaseException('odd')", "raise SystemExit(0)", "def (", "x = "])
def test_a_file_that_fails_is_a_sentence(tmp_path: Path, run_here: Any, how: str) -> None:
    (tmp_path / "p.py").write_text(how)
    done = run_here(tmp_path, "list", "aggregators", "--plugin", "p.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: Plug-in 'p.py' failed" in done.stderr


@pytest.mark.skipif(not SOAK, reason="a dead worker each: in the soak")
def test_a_plug_in_ends_no_cell_but_its_own(plugin: Path, cells: Any) -> None:
    environment = Environment(data_dir=plugin.parent, plugins=(plugin,))
    bad, odd = [f"ends(which={n})" for n in range(5)], [f"stays(which={n})" for n in range(6)]
    planned = cells(*bad, *odd, "mean", "median")
    found = {r.labels.aggregator: r.status for r in LocalBackend(2, environment).run(iter(planned), Stop())}
    assert {rule for rule, status in found.items() if status == "failed"} == {"ends", *bad[1:]}
    assert {rule for rule, status in found.items() if status == "done"} == {
        "stays",
        *odd[1:],
        "mean",
        "median",
    }
