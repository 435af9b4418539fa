"""Where the time of a whole cell goes, part by part, beside what its products take at the core's peak.

``python benchmarks/cells.py --data-dir DIR`` (``--digits`` needs no data) prints Markdown: milliseconds of
processor time of one thread, the least of several runs of the cell. The engine's functions are timed where
they are called; each part is without those that it calls.
"""

from __future__ import annotations

import argparse
import functools
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import robustbench_fl as rb
from robustbench_fl.engine import client_jobs, evaluation, local_training, simulation, training
from robustbench_fl.engine.batches import Batches
from robustbench_fl.engine.descent import Descent

PARTS: tuple[tuple[Any, str, str], ...] = (
    (client_jobs, "stream", "batches drawn"),
    (local_training, "make_jobs", "batches drawn"),
    (training, "Batches", "batches drawn"),
    (Batches, "images", "images gathered"),
    (training, "mlp_step", "local steps"),
    (training, "single_step", "local steps"),
    (Descent, "write_change", "updates written"),
    (simulation.Simulation, "_attacked", "attack"),
    (simulation, "serve", "rule"),
    (evaluation.ScoreBoard, "evaluate", "evaluation"),
)
CELLS: dict[str, tuple[dict[str, Any], float]] = {
    "digits, MLP-200, 2 epochs": (
        {"dataset": "digits", "model": "mlp(hidden=[200])", "local_epochs": 2, "rounds": 20},
        6 * 64 * 200 + 6 * 200 * 10 - 2 * 64 * 200,
    ),
    "Fashion-MNIST, MLP-100": (
        {"dataset": "fashion_mnist", "model": "mlp(hidden=[100])", "rounds": 2},
        6 * 784 * 100 + 6 * 100 * 10 - 2 * 784 * 100,
    ),
    "Fashion-MNIST, LeNet-5": (
        {"dataset": "fashion_mnist", "model": "lenet5", "rounds": 1},
        6 * (24 * 24 * 6 * 25 + 8 * 8 * 16 * 150 + 256 * 120 + 120 * 84 + 840) - 2 * 24 * 24 * 6 * 25,
    ),
}
"""Settings, and operations a training sample: forward, and backward twice but for the first layer's input."""


@contextmanager
def timed(spent: dict[str, float]) -> Iterator[None]:
    """Add to `spent` what each part takes."""
    inner: list[float] = []

    def wrapped(run: Callable[..., Any], part: str) -> Callable[..., Any]:
        @functools.wraps(run, updated=())
        def call(*given: Any, **named: Any) -> Any:
            before = time.process_time()
            inner.append(0.0)
            try:
                return run(*given, **named)
            finally:
                whole = time.process_time() - before
                spent[part] += whole - inner.pop()
                if inner:
                    inner[-1] += whole

        return call

    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in PARTS]
    for owner, name, part in PARTS:
        setattr(owner, name, wrapped(getattr(owner, name), part))
    try:
        yield
    finally:
        for owner, name, run in kept:
            setattr(owner, name, run)


def peak() -> float:
    """Return operations a second of a large product of matrices."""
    square = torch.randn(1500, 1500)
    best = float("inf")
    for _ in range(5):
        before = time.process_time()
        square @ square
        best = min(best, time.process_time() - before)
    return 2 * 1500**3 / best


def one(settings: dict[str, Any], data_dir: Path | None) -> tuple[dict[str, float], int]:
    """Return the seconds of each part of a cell, and how many samples its clients trained on."""
    spent: dict[str, float] = defaultdict(float)
    with timed(spent):
        before = time.process_time()
        result = rb.run_cell(
            aggregator="krum", attack="alie", clients=20, seed=1, data_dir=data_dir, **settings
        )
        whole = time.process_time() - before
    spent["everything else"] = whole - sum(spent.values())
    federation = result.record.federation
    assert federation is not None
    epochs = result.record.cell["local_epochs"] * result.record.cell["rounds"]
    return {"whole cell": whole, **spent}, epochs * sum(federation.sizes)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="holds Fashion-MNIST")
    parser.add_argument("--digits", action="store_true", help="digits only")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # alie says that few of 20 clients are malicious
    torch.set_num_threads(1)
    fastest = peak()
    print(f"A product of 1,500 x 1,500 runs at {fastest / 1e9:.0f} GFLOP/s.\n")
    print("| cell | part | ms | share |\n|---|---|--:|--:|")
    for name, (settings, operations) in CELLS.items():
        if options.digits and "digits" not in name:
            continue
        runs = [one(settings, options.data_dir) for _ in range(options.repeats)]
        spent, samples = min(runs, key=lambda run: run[0]["whole cell"])
        whole = spent["whole cell"]
        for part, seconds in spent.items():
            print(f"| {name} | {part} | {1e3 * seconds:.1f} | {seconds / whole:.0%} |")
        least = operations * samples / fastest
        print(f"| {name} | their products at that speed | {1e3 * least:.1f} | {least / whole:.0%} |")


if __name__ == "__main__":
    main()
