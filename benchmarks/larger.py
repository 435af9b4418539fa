"""Rules on a file of updates that is larger than the memory they may have.

``python benchmarks/larger.py FOLDER`` writes 1,000 updates of 1,100,000 parameters (4.4 GB) into FOLDER,
removes them afterwards, and aggregates them by each rule in a process of its own. Prints the processor
time and the peak of resident memory as Markdown; ``--parameters 11_000_000`` is the whole size, 44 GB.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
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
    done = subprocess.run(
        [sys.executable, "-c", ONE, rule, str(path), str(f)], check=True, capture_output=True, text=True
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
    options = parser.parse_args()
    path = options.folder / "updates-to-aggregate.npy"
    try:
        write_updates(path, options.clients, options.parameters)
        gigabytes = path.stat().st_size / 1e9
        print(f"\n### {options.clients:,} x {options.parameters:,} float32, {gigabytes:.1f} GB, one thread\n")
        print("| rule | CPU s | wall s | peak MB | of these imports |\n|---|--:|--:|--:|--:|")
        for rule in options.rules:
            found = aggregated(rule, path, options.clients // 5)
            print(
                f"| `{rule}` | {found['cpu']:.1f} | {found['wall']:.1f} | {found['peak']:.0f} "
                f"| {found['imports']:.0f} |",
                flush=True,
            )
    finally:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
