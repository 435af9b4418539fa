"""What only a GPU can show, and the script that measures one, run on the CPU at tiny sizes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from robustbench_fl.notebook import run_cell

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield importlib.import_module("gpu")
    for name in set(sys.modules) - before:
        if name in {"gpu", "peers", "reconstruction"}:
            del sys.modules[name]


@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="needs the source checkout")
def test_the_script_for_a_gpu_runs_on_a_cpu(script: ModuleType, tmp_path: Path) -> None:
    found = script.main(["--device", "cpu", "--size", "tiny", "--out", str(tmp_path / "gpu.json")])
    assert set(found) == {"Machine", "Rules", "Local training of a round", "Reconstruction"}
    rules = {row["rule"]: row for row in found["Rules"]}
    assert set(rules) == {"median", "krum", "fltrust", "foolsgold"}
    assert all(row["difference"] == 0 for row in rules.values()), "the CPU against itself"
    assert {row["engine"] for row in found["Local training of a round"]} == {"stacked", "loop", "auto"}


@pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="needs the source checkout")
def test_the_script_for_steps_runs_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    (row,) = importlib.import_module("gpu_steps").main(["--device", "cpu", "--clients", "2", "--only", "mlp"])
    assert set(row) == {"stacked", "one by one"}
    assert min(row.values()) > 0


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("rule", ["mean", "median", "trimmed_mean", "krum", "nnm > median"])
def test_a_rule_answers_on_a_gpu_what_it_does_on_a_cpu(rule: str, script: ModuleType) -> None:
    rows = torch.randn(30, 5000, generator=torch.Generator().manual_seed(0))
    here, there = (script.one_round(rule, rows.to(device), 6)() for device in ("cpu", "cuda"))
    assert torch.allclose(here, there.cpu(), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("model", ["mlp(hidden=[100])", "lenet5", "convnet(width=16, depth=2)"])
def test_clients_learn_on_a_gpu_what_they_do_on_a_cpu(model: str, script: ModuleType) -> None:
    size = script.Size(clients=5, samples=40)
    found = {}
    for device, engine in (("cpu", "loop"), ("cuda", "stacked")):
        data = script.federation(size, device)
        made = script.build.make("models", model).build(data.image_shape, data.n_classes)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            found[device] = script._training(data, made, 5, engine)().cpu()
    assert float((found["cpu"] - found["cuda"]).norm() / found["cpu"].norm()) < 1e-2


@pytest.mark.gpu
@on_gpu
def test_a_cell_with_a_reconstruction_ends_on_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from robustbench_fl.cli.main import main

    command = "robustbench-fl sweep -a fedredefense(preset=fast) -t min_max --rounds 2 -j 1 --device cuda -o"
    monkeypatch.setattr(sys, "argv", [*command.split(), str(tmp_path / "cells")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert run_cell(aggregator="mean", rounds=1).status == "done"
