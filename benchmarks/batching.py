"""Cells one after another against the same cells as one batch (`--cells-per-batch`): seconds of both.

Usage: python benchmarks/batching.py [--device cuda] [--cells 8]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from robustbench_fl.core.record import CellRecord
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute
from robustbench_fl.sweep.runner.listening import Listener
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.together import execute_together

MODELS = ("logistic", "mlp(hidden=[100])", "lenet5", "convnet")


def compare(model: str, n_cells: int, device: str) -> tuple[float, float]:
    """Return the seconds of cells alone and of the same cells together."""
    attacks = [f"sign_flip(scale={1 + i})" for i in range(n_cells)]
    point = {
        "dataset": "synthetic(side=28, samples=6400, test=500)", "model": model, "aggregator": "mean",
        "attack": ",".join(attacks), "clients": 100, "rounds": 2, "malicious": 0.2, "root_size": 0,
        "validation": 0.0, "partition": "iid",
    }  # fmt: skip
    plan = expand(make_sweep({}, point))
    environment = Environment(data_dir=Path(), device=device)
    execute(plan[0], environment)  # data, kernels
    began = time.perf_counter()
    for planned in plan:
        execute(planned, environment)
    alone = time.perf_counter() - began
    records: list[CellRecord] = []
    began = time.perf_counter()
    execute_together(plan, environment, RunPolicy(), Listener(), records.append)
    together = time.perf_counter() - began
    assert [record.status for record in records] == ["done"] * n_cells
    return alone, together


def main() -> None:
    """Print one line a network."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--models", nargs="*", default=MODELS)
    given = parser.parse_args()
    for model in given.models:
        alone, together = compare(model, given.cells, given.device)
        times = f"alone {alone:.2f} s, together {together:.2f} s, ratio {alone / together:.2f}"
        print(f"{model:20} {given.cells} cells: {times}")


if __name__ == "__main__":
    main()
