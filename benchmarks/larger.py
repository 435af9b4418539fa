"""Rules on a file of updates that is larger than the memory they may have.

``python benchmarks/larger.py FOLDER`` writes 1,000 updates of 1,100,000 parameters (4.4 GB) into FOLDER,
removes them afterwards, and aggregates them by each rule in a process of its own. Prints the processor
time and the peak of resident memory as Markdown; ``--parameters 11_000_000`` is the whole size, 44 GB.
``--simulated`` has cells of so many clients (of a network of 1,076,010 parameters) write their updates there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

RULES = (
    "mean", "norm_bound", "centered_clipping", "median", "trimmed_mean", "krum", "multi_krum",
    "geometric_median(start=zero, nu=0.1, steps=3)", "geometric_median", "nnm > trimmed_mean",
)  # fmt: skip
COMMON = 3.0
"""What all updates have in common is so many times as large as what they differ by."""

ONE = """
import json, resource, sys, time
import torch
import robustbench_fl as rb

rule, path, f = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
server = rb.Server(rule, f=f)
before, begun, at = (
    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time(), time.perf_counter()
)
outcome = server.aggregate(path)
print(json.dumps({
    "cpu": time.process_time() - begun,
    "wall": time.perf_counter() - at,
    "imports": before / 1024,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "length": float((outcome.aggregate.astype("float64") ** 2).sum() ** 0.5),
}))
"""


def write_updates(path: Path, clients: int, parameters: int) -> None:
    """Write random updates with a common part, one at a time."""
    rng = np.random.default_rng(0)
    common = COMMON * rng.standard_normal(parameters, np.float32)
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (clients, parameters)}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(clients):
            file.write((common + rng.standard_normal(parameters, np.float32)).tobytes())


def aggregated(rule: str, path: Path, f: int) -> dict[str, float]:
    """Return seconds and megabytes that `rule` took in a process of its own."""
    return _measured(ONE, rule, str(path), str(f))


SIMULATED = """
import json, resource, sys, time
from pathlib import Path
import torch
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import one_thread, simulate

rule, folder, clients, attack = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
given = {
    "aggregator": rule, "attack": attack, "dataset": "digits", "model": "mlp(hidden=[1000,1000])",
    "partition": "iid", "clients": clients, "malicious": 0.2, "rounds": 1, "local_steps": 1, "root_size": 50,
    "seeds": [0],
}
(planned,) = expand(make_sweep({}, given, "larger"))
before, begun, at = (
    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time(), time.perf_counter()
)
with one_thread():
    found = simulate(planned.cell, Environment(data_dir=Path("none"), updates_in=Path(folder)))
print(json.dumps({
    "cpu": time.process_time() - begun,
    "train": found.timers.seconds["train"],
    "wall": time.perf_counter() - at,
    "imports": before / 1024,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "length": float(found.last_step.double().norm()),
}))
"""


def simulated(rule: str, folder: Path, clients: int, attack: str = "none") -> dict[str, float]:
    """Return seconds and megabytes of a cell of one round, in a process of its own."""
    return _measured(SIMULATED, rule, str(folder), str(clients), attack)


def _measured(code: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("rules", nargs="*", default=RULES)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--parameters", type=int, default=1_100_000)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--attack", default="none", help="of a fifth of the simulated clients")
    options = parser.parse_args()
    if options.simulated:
        print(f"\n### {options.clients:,} simulated clients, 1,076,010 parameters, one thread\n")
        _print_rows(
            options.rules, lambda rule: simulated(rule, options.folder, options.clients, options.attack)
        )
        return
    path = options.folder / "updates-to-aggregate.npy"
    try:
        write_updates(path, options.clients, options.parameters)
        gigabytes = path.stat().st_size / 1e9
        print(f"\n### {options.clients:,} x {options.parameters:,} float32, {gigabytes:.1f} GB, one thread\n")
        _print_rows(options.rules, lambda rule: aggregated(rule, path, options.clients // 5))
    finally:
        path.unlink(missing_ok=True)


def _print_rows(rules: Sequence[str], measure: Callable[[str], dict[str, float]]) -> None:
    print("| rule | CPU s | wall s | peak MB | of these imports |\n|---|--:|--:|--:|--:|")
    for rule in rules:
        found = measure(rule)
        print(
            f"| `{rule}` | {found['cpu']:.1f} | {found['wall']:.1f} | {found['peak']:.0f} "
            f"| {found['imports']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
