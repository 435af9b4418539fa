"""What a GPU is worth for rules, rounds, reconstruction and cells side by side, beside the CPU.

``benchmarks/gpu.sh`` runs it with the tests marked ``gpu``. ``--device cpu --size tiny`` runs the same
code in seconds where there is no GPU. Every figure is written to ``--out`` as soon as it is known, and
printed as Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peers import network, one_round
from reconstruction import PROBLEMS, RATES, STEP, UNROLL_STEPS, Problem
from torch import Tensor

from robustbench_fl.aggregators._reconstruction_call import reconstruct
from robustbench_fl.api import build
from robustbench_fl.api.groups import groups
from robustbench_fl.core.cell import World
from robustbench_fl.core.errors import RobustbenchError
from robustbench_fl.core.seeding import stream
from robustbench_fl.data.federation import Federation, make_federation
from robustbench_fl.data.spread import spread
from robustbench_fl.engine.client_jobs import make_jobs
from robustbench_fl.engine.jobs import Recipe
from robustbench_fl.engine.training import Engine, train
from robustbench_fl.models.zoo.convnet import ConvNetModel

CLOSE = 1e-4
"""Largest difference of a rule's answer to the CPU's, relative to its largest entry, that is no remark."""
SLOW = (
    "gas",
    "flare",
    "alignins",
    "deepsight",
    "fedredefense",
    "skymask",
    "oracle_mean",
    "local_only",
    "root_only",
)
"""Rules that are left out: they take seconds on a CPU, or are no rules of rows."""


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    clients: int = 100
    samples: int = 600
    side: int = 28
    rows: int = 100_000
    models: tuple[str, ...] = ("mlp(hidden=[100])", "lenet5", "convnet(width=128, depth=3)")
    width: int = 128
    iterations: int = 20
    cpu_clients: int = 4
    jobs: tuple[int, ...] = (1, 4, 16)
    rounds: int = 20
    rules: tuple[str, ...] = ()
    """All that :data:`SLOW` does not name, if empty."""


TINY = Size(
    clients=4, samples=8, side=16, rows=500, models=("mlp(hidden=[4])", "convnet(width=4, depth=2)"), width=4,
    iterations=1, cpu_clients=2, jobs=(), rounds=1, rules=("median", "krum", "fltrust", "foolsgold"),
)  # fmt: skip


@dataclass
class Report:
    """Figures, written whenever there is a new one.

    Parameters
    ----------
    out : Path
        The file.
    until : float
        Monotonic time after which no section begins.
    """

    out: Path
    until: float
    found: dict[str, Any] = field(default_factory=dict)

    def add(self, section: str, row: dict[str, Any]) -> None:
        """Note one row of a section, and print it."""
        rows = self.found.setdefault(section, [])
        if not rows:
            print(f"\n### {section}\n\n| " + " | ".join(row) + " |\n|" + "---|" * len(row))
        rows.append(row)
        print("| " + " | ".join(_text(value) for value in row.values()) + " |", flush=True)
        self.out.write_text(json.dumps(self.found, indent=1))

    @property
    def late(self) -> bool:
        """Whether no time is left."""
        return time.monotonic() > self.until


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, and return what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--size", choices=["full", "tiny"], default="full")
    parser.add_argument("--seconds", type=float, default=360, help="after which nothing new begins")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no GPU here. --device cpu --size tiny only tries the script.")
    size = TINY if given.size == "tiny" else Size()
    report = Report(given.out, time.monotonic() + given.seconds)
    name = torch.cuda.get_device_name() if given.device == "cuda" else "none: the CPU against itself"
    report.add("Machine", {"GPU": name, "cores": os.cpu_count(), "torch": torch.__version__})
    for section in (rules, rounds, reconstruction, side_by_side):
        for row in section(size, given.device):
            report.add(section.__doc__.partition(":")[0], row)  # type: ignore[union-attr]
            if report.late:
                break
        if report.late:
            print("\nThe time is up.")
            break
    return report.found


def rules(size: Size, device: str) -> Iterator[dict[str, Any]]:
    """Rules: largest difference to the CPU's answer, and milliseconds a round."""
    names = size.rules or [name for name in groups("aggregators")["@all"].members if name not in SLOW]
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(max(20, size.clients), network(size.rows).n_params, generator=generator)
    there = rows.to(device)
    for name in names:
        try:
            expected = one_round(name, rows, len(rows) // 5, memory=2)()
            play = one_round(name, there, len(rows) // 5, memory=2)
            found = play().cpu()
        except (RobustbenchError, RuntimeError, TypeError) as error:
            yield {"rule": name, "difference": None, "ms": None, "remark": str(error).partition("\n")[0]}
            continue
        difference = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))
        remark = "" if difference <= CLOSE else "differs"
        milliseconds = 1e3 * _seconds(play, device, 3)
        yield {"rule": name, "difference": difference, "ms": milliseconds, "remark": remark}


def rounds(size: Size, device: str) -> Iterator[dict[str, Any]]:
    """Local training of a round: stacked, one client after another, and a part of it on the CPU's cores."""
    for text in size.models:
        for where, engine in ((device, "stacked"), (device, "loop"), ("cpu", "auto")):
            whole = where == device
            data = federation(size, where)
            model = build.make("models", text).build(data.image_shape, data.n_classes)
            clients = size.clients if whole else size.cpu_clients
            run = _training(data, model, clients, engine)
            _reset(where)
            seconds = _seconds(run, where, 2 if whole else 1) * size.clients / clients
            yield {
                "model": text, "where": where, "engine": engine, "s a round": seconds,
                "rounds a second": 1 / seconds, "peak MB": _peak_mb(where),
                "measured clients": clients,
            }  # fmt: skip


def reconstruction(size: Size, device: str) -> Iterator[dict[str, Any]]:
    """Reconstruction: milliseconds a client and iteration of all clients at once, and of some on the CPU."""
    shape = (1, size.side, size.side)
    problems: dict[str, Callable[[], Any]] = {
        "mlp 784-200-10": PROBLEMS["mlp 784-200-10"],
        f"convnet width {size.width}": lambda: ConvNetModel(shape, 10, width=size.width, depth=2),
    }
    for name, make in problems.items():
        PROBLEMS[name] = make
        for where, clients in ((device, size.clients), ("cpu", size.cpu_clients)):
            problem = Problem(name, clients)
            _reset(where)
            seconds = _seconds(lambda p=problem, w=where: _reconstruct(p, w, size.iterations), where, 2)
            yield {
                "problem": name, "where": where, "clients": clients,
                "ms a client and iteration": 1e3 * seconds / clients / size.iterations,
                "peak MB": _peak_mb(where),
            }  # fmt: skip


def side_by_side(size: Size, device: str) -> Iterator[dict[str, Any]]:
    """Cells side by side: worker processes that share the device, whole sweeps with start-up.

    ``--cells-per-batch``, one process that trained the clients of several cells as one batch, is no part
    of the program any more: on a CPU it was slower than one cell after another (docs/architecture.md).
    """
    for jobs in size.jobs:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                *(sys.executable, "-m", "robustbench_fl", "sweep"),
                *("-d", f"synthetic(side={size.side}, samples=12000)"),
                *("-m", "lenet5", "-a", "mean,median", "-t", "none,alie", "--seeds", "4", "--clients", "100"),
                *("--rounds", str(size.rounds), "-j", str(jobs), "--device", device, "-o", f"{folder}/cells"),
            ]
            began = time.monotonic()
            done = subprocess.run(command, capture_output=True, text=True)
            seconds = time.monotonic() - began
            cells = len(list(Path(folder, "cells", "cells").glob("*.json")))
            remark = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["failed"])[-1]
            yield {"workers": jobs, "cells": cells, "cells a minute": 60 * cells / seconds, "remark": remark}


def federation(size: Size, device: str) -> Federation:
    """Return made-up images of the size of MNIST's, spread alike over the clients."""
    world = World(
        dataset=f"synthetic(side={size.side}, samples={size.clients * size.samples}, test=100)",
        partition="iid",
        seed=0,
        clients=size.clients,
        validation=0.0,
        root_size=0,
    )
    arrays = build.make("datasets", world.dataset).load(Path())
    return make_federation(arrays, spread(world, arrays), device=device)


def _training(data: Federation, model: Any, clients: int, engine: Engine) -> Callable[[], Tensor]:
    recipe = Recipe(lr=0.05, batch_size=32)
    start = model.init(stream("benchmark")).to(data.device)
    jobs = make_jobs(data, range(clients), recipe, 0, 0)
    return lambda: train(model, data, start, jobs, recipe, engine)


def _reconstruct(problem: Problem, device: str, iterations: int) -> Tensor:
    return reconstruct(
        problem.model,
        problem.start.to(device),
        problem.ends.to(device),
        images=problem.images.to(device),
        labels=torch.zeros(10, 10, device=device),
        step=STEP,
        unroll_steps=UNROLL_STEPS,
        early_stop=False,
        budget=iterations,
        **RATES,
    ).errors


def _seconds(run: Callable[[], object], device: str, repeats: int) -> float:
    """Return the least wall seconds of a call; on a GPU after one to warm up, and with all of it finished."""
    if device == "cuda":
        run()
    least = float("inf")
    for _ in range(repeats):
        _wait(device)
        began = time.perf_counter()
        run()
        _wait(device)
        least = min(least, time.perf_counter() - began)
    return least


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _reset(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak_mb(device: str) -> float | None:
    return torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else None


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1e}" if value and abs(value) < 1e-2 else f"{value:,.2f}"
    return "–" if value is None else str(value)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
