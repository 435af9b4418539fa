"""What a cell costs with a thousand to a million clients, of whom 50 take part in a round.

``python benchmarks/clients.py`` prints Markdown: processor time of making the data, of what comes before
the first round and after the last (splits, who is malicious, the record), of a round, and the growth of
the process. Every client has two samples of 4 × 4 pixels. Each row is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

PARTICIPANTS, ROUNDS = 50, 10


def measure(clients: int) -> dict[str, float]:
    """Return seconds and megabytes of one cell."""
    import torch

    from robustbench_fl.data.sets.synthetic import Synthetic
    from robustbench_fl.engine.simulation import Simulation
    from robustbench_fl.sweep.config import make_sweep
    from robustbench_fl.sweep.expand import canonical, expand
    from robustbench_fl.sweep.runner.environment import Environment
    from robustbench_fl.sweep.runner.execute import execute

    torch.set_num_threads(1)
    point = {
        "dataset": f"synthetic(side=4, samples={2 * clients + 100}, test=500)", "model": "mlp(hidden=[32])",
        "partition": "iid", "clients": clients, "participation": PARTICIPANTS / clients, "rounds": ROUNDS,
        "aggregator": "krum", "attack": "alie", "malicious": 0.2, "seeds": [0], "validation": 0.0,
        "root_size": 100, "batch_size": 10,
    }  # fmt: skip
    (cell,) = expand(canonical(make_sweep({}, point, "clients"), data_dir=Path()))
    spent: dict[str, list[float]] = {"load": [], "step": []}

    def timed(owner: type, name: str) -> None:
        run = getattr(owner, name)

        def wrapped(*given, **named):
            before = time.process_time()
            result = run(*given, **named)
            spent[name].append(time.process_time() - before)
            return result

        setattr(owner, name, wrapped)

    timed(Synthetic, "load")
    timed(Simulation, "step")
    peak, before = _peak(), time.process_time()
    record = execute(cell, Environment(data_dir=Path()))
    whole = time.process_time() - before
    assert record.status == "done", record.reason
    return {
        "data": sum(spent["load"]),
        "rest": whole - sum(spent["load"]) - sum(spent["step"]),
        "round": min(spent["step"]),
        "grown": _peak() - peak,
        "record": len(record.model_dump_json()) / 1e3,
    }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clients", nargs="*", type=int, default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    print("| clients | data, s | start and end, s | a round, ms | grown, MB | record, kB |")
    print("|--:|--:|--:|--:|--:|--:|")
    for clients in options.clients:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(clients)], check=True, capture_output=True, text=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"| {clients:,} | {found['data']:.2f} | {found['rest']:.2f} | {1e3 * found['round']:.1f} "
            f"| {found['grown']:.0f} | {found['record']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
