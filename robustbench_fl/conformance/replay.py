"""The same numbers in another process, whose hash seed makes sets iterate in another order.

The other process runs :func:`serve`: it reads one JSON line for each method and answers with a digest
of what the method does. It is started once and ends with this one.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import inspect
import json
import os
import subprocess
import sys
import warnings
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from robustbench_fl.api import Aggregator, Attack, Partition, PreAggregator, build, registry
from robustbench_fl.conformance import world
from robustbench_fl.conformance.attack_scene import Mounted, craft, first_state
from robustbench_fl.conformance.checks import check, require
from robustbench_fl.conformance.comparing import digest, tensors_of
from robustbench_fl.conformance.server_scene import play, scene, start
from robustbench_fl.conformance.variants import made

_PLUGIN_MODULE = "robustbench_fl_plugin_"
"""How the registry begins the module names of plug-in files."""
_PATIENCE = 60.0
"""Seconds the other process gets to end."""


def _loadable_elsewhere(method: Any) -> bool:
    """Whether another process can find the method: not if it was defined in a notebook or a test."""
    module = type(method).__module__
    if module.startswith(("robustbench_fl.", _PLUGIN_MODULE)):
        return True
    entry = registry.entry_of(method)
    return any(point.name == entry.name for point in entry_points(group=f"robustbench_fl.{entry.kind}"))


@check(
    "aggregators",
    "pre-aggregators",
    "attacks",
    "partitions",
    applies=_loadable_elsewhere,
    across=True,
)
def check_other_process(forms: tuple[Any, ...]) -> None:
    """Another process with another PYTHONHASHSEED gives the same bits."""
    method = forms[0]
    entry = registry.entry_of(method)
    question = {"kind": entry.kind, "text": build.text_of(method), "plugin": _plugin_of(type(method))}
    here, there = digest_of(method), _answer(question)
    require(here == there, f"three rounds give {here} here and {there} in a process with another hash seed")


def digest_of(method: Any) -> str:
    """Return a hash of everything that `method` returns in three rounds, or for one split."""
    if isinstance(method, Partition):
        from robustbench_fl.conformance.partitions import _split, _unequal_classes

        parts = [torch.from_numpy(part) for part in _split(method, _unequal_classes())]
        return _joined([digest(part) for part in parts])
    found: list[str] = []
    state = first_state(method) if isinstance(method, Attack) else start(method)
    for round in range(3):
        outcome, state = _played(method, round, state)
        for value in (outcome, state):
            found += [f"{name} {digest(tensor)}" for name, tensor in sorted(tensors_of(value).items())]
    return _joined(found)


def _played(method: Attack | Aggregator | PreAggregator, round: int, state: Any) -> tuple[Any, Any]:
    if isinstance(method, Attack):
        return craft(method, Mounted(round=round), state)
    at = scene(method, round)
    if isinstance(method, PreAggregator):
        return method.mixing(at.updates.clone(), at.view(method.needs), state)
    return play(method, at, state)


def _joined(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _plugin_of(cls: type) -> str | None:
    """Return the file of a method that no import finds."""
    if not cls.__module__.startswith(_PLUGIN_MODULE):
        return None
    return inspect.getsourcefile(cls)


def _answer(question: dict[str, Any]) -> str:
    process = other_process()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({**question, "threads": torch.get_num_threads()}) + "\n")
    process.stdin.flush()
    answer: str = process.stdout.readline().strip()
    return answer or "no answer"


@cache
def other_process() -> subprocess.Popen[str]:
    """Start the process once; it gets ready while this one goes on, and answers until it ends."""
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    process = subprocess.Popen(
        [sys.executable, "-c", "from robustbench_fl.conformance.replay import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    process.wait(_PATIENCE)


def serve() -> None:
    """Answer questions until the input ends."""
    warnings.simplefilter("ignore")
    threadpool_limits(limits=1)
    torch.set_num_threads(1)  # before the first training: on two threads its last bits differ
    world.history()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what methods print
    for line in sys.stdin:
        question = json.loads(line)
        torch.set_num_threads(question["threads"])
        try:
            if question["plugin"]:
                registry.load_plugin(Path(question["plugin"]))
            answer = digest_of(made(question["kind"], question["text"]))
        except Exception as error:
            answer = f"{type(error).__name__}: {' '.join(str(error).split())}"
        print(answer, file=answers, flush=True)
