"""Large plans: seconds and peak memory of the main process of ``plan``, and of a finished ``sweep``.

The finished cells are made up; nothing is simulated. ``--cells`` says how many there are.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from robustbench_fl.core.record import Costs, Counts, Curves, Metrics
from robustbench_fl.store import Store
from robustbench_fl.store.codec import seal
from robustbench_fl.sweep.config import make_sweep, to_toml
from robustbench_fl.sweep.expand import canonical, expand
from robustbench_fl.sweep.run import plan_row
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.recording import record

ROUNDS = 20
GRID = {
    "name": "large",
    "aggregator": "mean,median,krum,multi_krum(k=[3, 5]),nnm > krum,trimmed_mean(trim=[0.1, 0.2]),"
    "geometric_median,nnm > trimmed_mean",
    "attack": "none,alie,ipm,min_max,sign_flip",
    "malicious": [0.1, 0.2, 0.3, 0.4],
    "partition": "balanced_dirichlet(alpha=[0.1, 1])",
    "rounds": ROUNDS,
}
A_SEED = 400
"""Cells of the grid for each seed."""

MEASURED = """
import sys
from pathlib import Path
from robustbench_fl.cli.main import cli
if __name__ == '__main__':
    code = cli(sys.argv[1:], standalone_mode=False)
    # Not getrusage: a process inherits the peak of the one that started it.
    peak = Path('/proc/self/status').read_text().partition('VmHWM:')[2]
    torch = 'torch' in sys.modules
    import resource
    cpu = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own, children = (used.ru_utime + used.ru_stime for used in cpu)
    said = f"exit code {code or 0}, torch {torch}, peak {int(peak.split()[0]) // 1024} MB"
    print(f"{said}, CPU {own:.1f} s and {children:.1f} s in other processes", file=sys.stderr)
"""


def fill(folder: Path, cells: int) -> None:
    """Write the folder of a sweep of which every cell is finished."""
    sweep = canonical(make_sweep({}, {**GRID, "seeds": cells // A_SEED}))
    plan = expand(sweep)
    store = Store(folder)
    store.write_plan(to_toml(sweep), map(plan_row, plan))
    store.cells.mkdir()
    environment, draw = Environment(data_dir=folder), random.Random(0)
    for planned in plan:
        accuracy = draw.uniform(0.2, 0.9)
        made = record(
            planned, environment, status="done", metrics=_metrics(accuracy), curves=_curves(accuracy),
            costs=_costs(draw), counts=_counts(),
        )  # fmt: skip
        (store.cells / f"{made.key}.json").write_bytes(seal(made.model_dump(mode="json")))


def _metrics(accuracy: float) -> Metrics:
    values = dict.fromkeys(Metrics.model_fields)
    known = {"accuracy": accuracy, "accuracy_std": 0.01, "class_accuracy": [accuracy] * 10, "loss": 1.0}
    return Metrics(**{**values, **known, "worst_class_accuracy": accuracy})


def _curves(accuracy: float) -> Curves:
    rounds = list(range(1, ROUNDS + 1))
    return Curves(
        round=rounds, accuracy=[accuracy] * ROUNDS, loss=[1.0] * ROUNDS, attack_success=[None] * ROUNDS
    )


def _costs(draw: random.Random) -> Costs:
    return Costs(
        train_seconds=draw.uniform(1, 2), attack_seconds=0.1, aggregate_seconds=0.2, evaluate_seconds=0.3,
        peak_memory_mb=50.0,
    )  # fmt: skip


def _counts() -> Counts:
    return Counts(**{**dict.fromkeys(Counts.model_fields, 0), "rounds": ROUNDS})


def measured(*arguments: str) -> None:
    """Run a command and print what it took."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    last = done.stderr.strip().splitlines()[-1:] or ["said nothing"]
    print(f"{arguments[0]:<8}{seconds:6.1f} s   {last[0]}", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--plan-only", action="store_true", help="no finished cells")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "large"
        if asked.plan_only:
            file = Path(name) / "large.toml"
            folder.mkdir()
            import tomli_w

            file.write_bytes(tomli_w.dumps({**GRID, "seeds": asked.cells // A_SEED}).encode())
        else:
            fill(folder, asked.cells)
            file = folder / "sweep.toml"
        for _ in range(asked.repeat):
            measured("plan", str(file), "-o", str(folder))
            if not asked.plan_only:
                measured("sweep", str(file), "-o", str(folder))


if __name__ == "__main__":
    main()
