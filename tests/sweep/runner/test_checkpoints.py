"""A cell that is stopped and goes on from its checkpoint ends with the same numbers, bit for bit."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import CellRecord
from robustbench_fl.core.sealed import read_sealed, write_sealed
from robustbench_fl.engine.outcome import outcome
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner import checkpoints
from robustbench_fl.sweep.runner.checkpoints import Checkpoint
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute, prepared
from robustbench_fl.sweep.runner.observers import SpentCheckpoints, checkpoint_path
from robustbench_fl.sweep.runner.policy import RunPolicy

PLACE = Environment(data_dir=Path("none"))
SMALL = {"model": "mlp(hidden=[16])", "clients": 10, "rounds": 7, "malicious": 0.2, "lr": 0.1}


def planned(**asked: Any) -> Planned:
    return expand(make_sweep({**SMALL, **asked}, {}))[0]


def figures(simulation: Simulation) -> dict[str, Any]:
    parts = outcome(simulation, peak_memory_mb=None)
    return {name: part for name, part in parts.items() if name != "costs"}


CASES = [
    {"aggregator": "fedredefense", "attack": "min_max"},
    {"aggregator": "fldetector(start=2, window=2)", "attack": "gaussian"},
    {"aggregator": "foolsgold", "attack": "poisonedfl"},
    {"aggregator": "bucketing > centered_clipping", "attack": "mpaf(target=random)"},
    {"aggregator": "geometric_median", "attack": "mimic"},
    {
        "aggregator": "krum",
        "attack": "rop",
        "participation": 0.7,
        "server": "fedadam",
        "lr_schedule": "cosine",
    },
    {"aggregator": "mean", "attack": "scaling", "local_epochs": 2, "server": "momentum", "eval_last": 3},
    {"aggregator": "signguard", "attack": "targeted_label_flip", "eval_every": 2},
    {"aggregator": "mean", "attack": "adaptive_fedredefense", "rounds": 5},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['aggregator']}-{case['attack']}")
def test_a_stopped_cell_ends_with_the_same_bits(case: dict[str, Any], tmp_path: Path) -> None:
    cell = planned(**case).cell
    whole = prepared(cell, PLACE)
    whole.run()

    stopped = prepared(cell, PLACE)
    checkpoint = Checkpoint(tmp_path, stopped, every=3)
    for _ in range(4):
        stopped.step()
        checkpoint.after_round(stopped.round)

    resumed = prepared(cell, PLACE)
    assert Checkpoint(tmp_path, resumed, every=3).resume() == 3
    resumed.run()
    assert torch.equal(resumed.params, whole.params)
    assert figures(resumed) == figures(whole)


def test_execute_goes_on_from_a_checkpoint_and_the_watcher_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(aggregator="centered_clipping", attack="alie")
    place = Environment(data_dir=Path("none"), folder=tmp_path)
    whole = execute(plan, PLACE)

    class Stop(KeyboardInterrupt):
        pass

    def stopping(self: Simulation, step: Any = Simulation.step) -> None:
        step(self)
        if self.round == 5:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(Simulation, "step", stopping)
        with pytest.raises(Stop):
            execute(plan, place, RunPolicy(checkpoint_every=2))
    path = checkpoint_path(tmp_path, plan.cell.key)
    assert path.is_file()

    rounds: list[int] = []

    def counting(self: Simulation, step: Any = Simulation.step) -> None:
        rounds.append(self.round)
        step(self)

    monkeypatch.setattr(Simulation, "step", counting)
    record = execute(plan, place, RunPolicy(checkpoint_every=2))
    assert rounds == [4, 5, 6]
    assert (record.metrics, record.curves) == (whole.metrics, whole.curves)
    SpentCheckpoints(tmp_path).finished(record)
    assert not path.parent.exists()


def resealed(path: Path, change: Any) -> None:
    """Change what a checkpoint holds, and seal it anew, as somebody could who wants to be believed."""
    saved = torch.load(io.BytesIO(read_sealed(path, "checkpoint")), weights_only=True)
    facts = json.loads(saved["facts"])
    change(facts, saved["tensors"])
    content = io.BytesIO()
    torch.save({"facts": json.dumps(facts), "tensors": saved["tensors"]}, content)
    write_sealed(path, "checkpoint", content.getvalue())


HARM = {
    "is empty": lambda path: path.write_bytes(b""),
    "was cut short": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "does not begin with its checksum": lambda path: path.write_bytes(path.read_bytes()[300:]),
    r"cannot be read \(UnpicklingError\)": lambda path: pickled(path),
    r"\(versions differ\)": lambda path: resealed(path, lambda facts, _: facts.update(versions={})),
    r"\(plugins differ\)": lambda path: resealed(path, lambda facts, _: facts.update(plugins={"a": "b"})),
    r"\(key differ\)": lambda path: resealed(path, lambda facts, _: facts.update(key="0" * 16)),
    "does not fit its cell: the round": lambda path: resealed(path, lambda f, _: f.update(round=7)),
    "evaluated rounds": lambda path: resealed(path, lambda f, _: f["curves"].update(rounds=[3, 4])),
    "curves.accuracy.0": lambda path: resealed(path, lambda f, _: f["curves"].update(accuracy=[1.5])),
    "the counts": lambda path: resealed(path, lambda facts, _: facts.update(counts={})),
    "params has not the shape": lambda path: resealed(path, lambda _, t: t.update(params=torch.ones(3))),
    "rule_state": lambda path: resealed(path, lambda _, t: [t.pop(n) for n in list(t) if "/" in n]),
}


def pickled(path: Path) -> None:
    content = io.BytesIO()
    torch.save({"facts": "{}", "tensors": {}, "code": Path("x")}, content)
    write_sealed(path, "checkpoint", content.getvalue())


@pytest.mark.parametrize("why", HARM)
def test_a_checkpoint_that_cannot_be_trusted_is_told_and_not_used(why: str, tmp_path: Path) -> None:
    cell = planned(aggregator="centered_clipping", attack="alie").cell
    simulation = prepared(cell, PLACE)
    simulation.step()
    Checkpoint(tmp_path, simulation).save()
    HARM[why](checkpoint_path(tmp_path, cell.key))
    fresh = prepared(cell, PLACE)
    with pytest.warns(UserWarning, match=f"{'' if why == 'rule_state' else why}.*begins anew"):
        assert Checkpoint(tmp_path, fresh).resume() == 0
    assert fresh.round == 0
    assert torch.equal(fresh.params, fresh.initial_params)


def test_short_cells_have_none_and_long_ones_one_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    for seconds, wanted in ((1.0, []), (30.0, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22])):
        simulation = prepared(planned(aggregator="mean", attack="alie", rounds=23).cell, PLACE)
        checkpoint = Checkpoint(tmp_path, simulation)
        saved: list[int] = []
        monkeypatch.setattr(checkpoint, "save", lambda s=saved, c=checkpoint: _note(s, c))
        for finished in range(1, 24):
            now[0] += seconds
            simulation.round = finished
            checkpoint.after_round(finished)
        assert saved == wanted


def _note(saved: list[int], checkpoint: Checkpoint) -> None:
    saved.append(checkpoint._simulation.round)
    checkpoint._saved = checkpoint._simulation.round


def test_a_full_disk_costs_the_checkpoints_and_not_the_cell(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    place = Environment(data_dir=Path("none"), folder=tmp_path)
    record: CellRecord = execute(
        planned(aggregator="mean", attack="none"), place, RunPolicy(checkpoint_every=1)
    )
    assert record.status == "done"
    assert any("No more checkpoints" in warning for warning in record.warnings)


def test_a_killed_sweep_goes_on_within_its_cell(tmp_path: Path, run_here: Callable[..., Any]) -> None:
    def sweep(folder: str) -> list[str]:
        flags = "-a fedredefense -t alie -m mlp(hidden=[16]) --clients 10 --rounds 30 -f 0.2 -j 1"
        return [sys.executable, "-m", "robustbench_fl", "sweep", *flags.split(), "--checkpoint-every", "5",
                "--out", str(tmp_path / folder)]  # fmt: skip

    running = subprocess.Popen(
        sweep("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("checkpoints/*.pt")):
        assert running.poll() is None, "ended before its first checkpoint"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not list((tmp_path / "killed").glob("cells/*.json"))
    subprocess.run(sweep("killed"), check=True, capture_output=True, timeout=300)
    assert run_here(tmp_path, *sweep("undisturbed")[3:]).returncode == 0
    outcomes = []
    for folder in ("killed", "undisturbed"):
        (path,) = (tmp_path / folder / "cells").glob("*.json")
        record = json.loads(path.read_text())
        outcomes.append({n: record[n] for n in ("metrics", "curves", "detection", "counts", "diagnostics")})
    assert outcomes[0] == outcomes[1]
    assert not (tmp_path / "killed" / "checkpoints").exists()
