"""What the harness costs beside the simulation, and what a second worker is worth.

``python benchmarks/harness.py`` prints two Markdown tables. Every figure is the median of five runs;
what is compared is run in turns, so that a busy machine is busy for both.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.record import CellRecord
from robustbench_fl.store import Store
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.run import Prepared, prepare, run
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute, one_thread, simulate
from robustbench_fl.sweep.runner.local import LocalBackend
from robustbench_fl.sweep.runner.policy import RunPolicy

ENVIRONMENT = Environment(data_dir=Path("/nonexistent"))
WARM_UP = 4
"""Cells of every run that are not counted: processes start, data is loaded."""


def planned(seeds: int, rounds: int, folder: Path) -> Prepared:
    """Return cells of one world each pair of rules, tiny or of some tenths of a second."""
    sweep = make_sweep(
        {},
        {
            "dataset": "synthetic", "model": "mlp(hidden=[64])", "clients": 10, "rounds": rounds,
            "aggregator": ["mean", "median", "krum", "trimmed_mean"], "attack": ["none", "alie"],
            "seeds": list(range(seeds)), "malicious": 0.2,
        },
    )  # fmt: skip
    return prepare(sweep, Store(folder))


def swept(prepared: Prepared, folder: Path, jobs: int) -> float:
    """Return the wall seconds a cell of a sweep, from the first cells on, stored on disk."""
    times: list[float] = []

    def note(record: CellRecord) -> None:
        assert record.status == "done", record.reason
        times.append(time.perf_counter())

    backend = LocalBackend(jobs, ENVIRONMENT, RunPolicy(timeout=3600))
    run(prepared, Store(folder), backend, note)
    # With several workers the last cells are not run side by side: they do not count either.
    first, last = WARM_UP * jobs, len(times) - jobs
    return (times[last - 1] - times[first - 1]) / (last - first)


def in_turn(cells: list[Planned], run_one: Callable[[Planned], object]) -> tuple[float, float]:
    """Return wall and CPU seconds a cell of `run_one`, in this process."""
    with one_thread():
        for cell in cells[:WARM_UP]:
            run_one(cell)
        wall, cpu = time.perf_counter(), time.process_time()
        for cell in cells[WARM_UP:]:
            run_one(cell)
        n = len(cells) - WARM_UP
        return (time.perf_counter() - wall) / n, (time.process_time() - cpu) / n


def overhead(repeats: int, seeds: int) -> None:
    """Print what a cell costs beyond its simulation."""
    rows = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            prepared = planned(seeds, rounds=3, folder=Path(folder))
            bare = in_turn(prepared.pending, lambda cell: simulate(cell.cell, ENVIRONMENT))
            record = in_turn(prepared.pending, lambda cell: execute(cell, ENVIRONMENT))
            before = time.process_time()
            sweep = swept(prepared, Path(folder), jobs=1)
            main = (time.process_time() - before) / len(prepared.pending)
            rows.append((*bare, *record, sweep, main, sweep - bare[0], record[1] - bare[1] + main))
            gc.collect()
    medians = [f"{1000 * statistics.median(column):.1f}" for column in zip(*rows)]
    print(f"\n### Overhead: {len(prepared.pending)} cells, one warm worker, median of {repeats}\n")
    print("| | wall, ms a cell | CPU, ms a cell |\n|---|--:|--:|")
    print(f"| simulation alone, no harness | {medians[0]} | {medians[1]} |")
    print(f"| and its record | {medians[2]} | {medians[3]} |")
    print(f"| in a sweep: worker process, claim, file | {medians[4]} | (main process) {medians[5]} |")
    print(f"| **overhead** | **{medians[6]}** | **{medians[7]}** |")


def scaling(repeats: int, seeds: int) -> None:
    """Print how much faster two workers are than one."""
    ratios, rates = [], []
    for _ in range(repeats):
        seconds = []
        for jobs in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                seconds.append(swept(planned(seeds, rounds=30, folder=Path(folder)), Path(folder), jobs))
        ratios.append(seconds[0] / seconds[1])
        rates.append(tuple(1 / s for s in seconds))
    one, two = (statistics.median(column) for column in zip(*rates))
    print(f"\n### Two workers, median of {repeats} interleaved pairs\n")
    print("| workers | cells a second |\n|---|--:|")
    print(f"| 1 | {one:.2f} |\n| 2 | {two:.2f} |")
    print(f"\nRatio {statistics.median(ratios):.2f} ({', '.join(f'{r:.2f}' for r in ratios)}).")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=12, help="8 cells each")
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # alie says that 2 of 10 clients are few
    print(f"Load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
    overhead(given.repeats, given.seeds)
    scaling(given.repeats, max(2, given.seeds // 3))


if __name__ == "__main__":
    main()
