"""A round's updates in a file: the bits of those in memory, in less of it."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from robustbench_fl.core.errors import UsageError
from robustbench_fl.engine import mapped
from robustbench_fl.engine.simulation import Simulation
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute, simulate

WIDE = "mlp(hidden=[512])"
"""38,410 parameters: more than one block of columns."""
RULES = (
    "mean", "median", "trimmed_mean", "krum", "multi_krum", "geometric_median", "centered_clipping",
    "norm_bound", "nnm > trimmed_mean",
)  # fmt: skip


def planned(**point: Any) -> Any:
    given: dict[str, Any] = {
        "model": WIDE,
        "aggregator": "mean",
        "attack": "none",
        "clients": 12,
        "malicious": 0.25,
        "rounds": 2,
        "local_steps": 2,
        "seeds": [0],
    }
    (cell,) = expand(make_sweep({}, {**given, **point}, "test"))
    return cell


def ended(folder: Path | None, **point: Any) -> Simulation:
    return simulate(planned(**point).cell, Environment(data_dir=Path("none"), updates_in=folder))


def same_both_ways(folder: Path, **point: Any) -> None:
    inside, beside = ended(None, **point), ended(folder, **point)
    assert inside.params.numpy().tobytes() == beside.params.numpy().tobytes()
    assert bool(inside.params.isfinite().all())
    assert not list(folder.iterdir())


@pytest.fixture(autouse=True)
def few_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train five clients, then five, then the last two."""
    monkeypatch.setattr(mapped, "_TRAINED_BYTES", 5 * 4 * 38_410)


@pytest.mark.parametrize("rule", RULES)
def test_rules_give_the_same_bits(rule: str, tmp_path: Path) -> None:
    same_both_ways(tmp_path, aggregator=rule, attack="sign_flip", partition="dirichlet(alpha=0.3)")


@pytest.mark.parametrize("attack", ["alie", "gaussian", "neurotoxin", "non_finite", "optimal", "label_flip"])
def test_attacks_give_the_same_bits(attack: str, tmp_path: Path) -> None:
    """Seen honest updates, clients who do not train, gradient masks, dropped rows, asked rules."""
    same_both_ways(tmp_path, aggregator="trimmed_mean", attack=attack)


@pytest.mark.parametrize(
    "point",
    [
        {"worker_momentum": 0.9, "participation": 0.5},
        {"aggregator": "oracle_mean", "attack": "gaussian"},
        {"attack": "min_max(knows=all)", "malicious": 0.9, "participation": 0.1, "rounds": 1},
        {"aggregator": "root_only"},
        {"aggregator": "local_only"},
        {"aggregator": "foolsgold"},
    ],
)
def test_whatever_else_a_round_asks_for_gives_the_same_bits(point: dict[str, Any], tmp_path: Path) -> None:
    same_both_ways(tmp_path, **point)


def test_no_more_than_a_group_is_trained_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heights, write = [], mapped.ScratchRows.write

    def noted(self: mapped.ScratchRows, places: Any, rows: Tensor) -> None:
        heights.append(len(rows))
        write(self, places, rows)
        assert not list(tmp_path.iterdir())  # no name: whoever kills the process leaves nothing behind

    monkeypatch.setattr(mapped.ScratchRows, "write", noted)
    ended(tmp_path, attack="sign_flip", rounds=1)
    assert heights == [5, 5, 2, 3]  # the last are the attack's


def test_a_folder_without_room_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    record = execute(planned(), Environment(data_dir=Path("none"), updates_in=tmp_path))
    assert record.status == "failed"
    assert "12 updates of a round are written" in str(record.reason)
    assert "No space left on device" in str(record.reason)
    assert str(tmp_path) not in str(record.reason)
    gone = execute(planned(), Environment(data_dir=Path("none"), updates_in=tmp_path / "gone"))
    assert "No such file or directory" in str(gone.reason)


def test_files_are_not_for_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--updates-in .* give --device cpu"):
        Environment(data_dir=Path("none"), device="cuda", updates_in=tmp_path)


@pytest.mark.skipif(not os.environ.get("ROBUSTBENCH_FL_SOAK"), reason="1.7 GB on disk, minutes: make soak")
def test_a_round_larger_than_what_it_takes(tmp_path: Path) -> None:
    larger = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "larger.py"))
    for rule in larger["RULES"]:
        found = larger["simulated"](rule, tmp_path, 400)
        print(f"{rule}: {found['peak']:.0f} MB, {found['cpu']:.0f} s")
        assert found["peak"] < 1_200
