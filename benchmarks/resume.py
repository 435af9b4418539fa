"""What a resume of many finished cells costs, of two checkouts, by turns in one run.

Run ``python benchmarks/resume.py --before CHECKOUT``; ``--cells``, ``--repeats``. A resume is all that a
sweep does before its first cell: read the folder, plan, and write the plan again. CPU seconds of the
process and its children, each time in a process of its own; the ratio is the median over pairs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
_MAKE = """
import sys
from pathlib import Path
sys.path.insert(0, "benchmarks")
from fakes import fake_folder
fake_folder(Path(sys.argv[1]), int(sys.argv[2]), packed=sys.argv[3] == "packed").statuses()
"""
_RESUME = """
import sys
from pathlib import Path
from robustbench_fl.store import Store
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.run import plan_row, prepare
from robustbench_fl.sweep.runner.processes import MethodProcess
from robustbench_fl.sweep.sharing import write_plan
store = Store(Path(sys.argv[1]))
with MethodProcess() as methods:
    prepared = prepare(make_sweep(store.read_sweep(), {}), store, methods=methods)
write_plan(prepared.sweep, map(plan_row, prepared.plan), store)
assert len(prepared.statuses) == int(sys.argv[2])
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="A checkout of the code to compare with.")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print("| cells | stored | before, s | after, s | ratio |\n|--:|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as place:
        for stored in ("loose", "packed"):
            sides = {"before": options.before.resolve(), "after": HERE}
            folders = {name: Path(place) / f"{name}-{stored}" for name in sides}
            for name, checkout in sides.items():
                _run(checkout, _MAKE, str(folders[name]), str(options.cells), stored)
            pairs = []
            for number in range(options.repeats):
                order = list(sides) if number % 2 else list(sides)[::-1]
                taken = {
                    name: _run(sides[name], _RESUME, str(folders[name]), str(options.cells)) for name in order
                }
                pairs.append((taken["before"], taken["after"]))
            before, after = (statistics.median(side) for side in zip(*pairs, strict=True))
            ratio = statistics.median(late / early for early, late in pairs)
            print(f"| {options.cells:,} | {stored} | {before:.2f} | {after:.2f} | {ratio:.2f} |", flush=True)


def _run(checkout: Path, code: str, *words: str) -> float:
    """Return the CPU seconds of `code` in a process of its own."""
    began = os.times()
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    subprocess.run([sys.executable, "-c", code, *words], cwd=checkout, env=environment, check=True)
    ended = os.times()
    return ended.children_user + ended.children_system - began.children_user - began.children_system


if __name__ == "__main__":
    main()
