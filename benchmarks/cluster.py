"""What a Ray cluster costs a cell: one, two and four nodes on this machine's loopback.

``python benchmarks/cluster.py`` starts nodes of one processor each, runs sweeps of tiny cells whose rule
sleeps for some seconds (so that four nodes do not need four cores), and prints Markdown: cells a minute and
what a cell costs beyond its sleep and its simulation; how much of each node's object store a data set takes;
the memory of the process that has 100,000 cells to hand out; and what it costs to wait for many tasks at
once. All that it starts ends with it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

LOOPBACK = "127.0.0.2"
"""Not 127.0.0.1, in place of which Ray puts the address that other machines would use."""
STORE_MB = 150
DATA_MB = 40
PARTS = ("throughput", "store", "queue", "waiting")
RULE = """
import time
from dataclasses import dataclass
from robustbench_fl.api import Aggregation, Aggregator, register

@register("nap")
@dataclass(frozen=True, kw_only=True)
class Nap(Aggregator):
    '''The mean, after a nap.

    Parameters
    ----------
    seconds : float
        How long.
    '''
    seconds: float = 0.0
    def aggregate(self, updates, view, state):
        time.sleep(self.seconds)
        return Aggregation(updates.mean(0)), state
"""
CELL = ("-m", "logistic", "-t", "none", "-f", "0.2", "--clients", "10", "--rounds", "1")


@contextmanager
def nodes(count: int) -> Iterator[str]:
    """Start a cluster of `count` nodes of one processor each; yield its address."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for number in range(count):
            extra = {} if number else {"include_dashboard": False}
            cluster.add_node(
                num_cpus=1, object_store_memory=STORE_MB * 2**20, node_ip_address=LOOPBACK, **extra
            )
        yield str(cluster.address)
    finally:
        ray.shutdown()
        cluster.shutdown()


class Sweep:
    """A sweep that runs on a cluster.

    Parameters
    ----------
    folder : Path
        Its results go below it; holds the plug-in.
    name : str
        Of this sweep.
    address : str
        Of the cluster's head, or nothing for this machine alone.
    options : str
        What is swept.
    """

    def __init__(self, folder: Path, name: str, address: str, *options: str) -> None:
        self.out, self.log = folder / name, folder / f"{name}.log"
        where = ("--backend", "ray", "--address", address) if address else ("-j", "1")
        command = [
            *(sys.executable, "-m", "robustbench_fl", "sweep", "--plugin", str(folder / "nap.py"), *CELL),
            *("-o", str(self.out), "--data-dir", str(folder), *where, *options),
        ]
        environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
        self.looks: list[tuple[int, float]] = []
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)

    def finished(self) -> list[float]:
        """Return when each finished cell was stored, in order."""
        found = (self.out / "cells").glob("*.json")
        return sorted(path.stat().st_mtime for path in found)

    def wait(self) -> None:
        """Wait until it has ended; note now and then how far it is, and its main process' processor time."""
        while self.process.poll() is None:
            with suppress(OSError, IndexError):
                stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
                seconds = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
                self.looks.append((len(self.finished()), seconds))
            time.sleep(0.3)
        if self.process.returncode:
            raise SystemExit(f"A sweep failed:\n{self.log.read_text()[-2000:]}")

    def main_ms(self) -> float:
        """Return the processor milliseconds of the main process for a cell, from the first to the last."""
        first = next(look for look in self.looks if look[0] > 0)
        last = next(look for look in self.looks if look[0] == self.looks[-1][0])
        return 1e3 * (last[1] - first[1]) / max(1, last[0] - first[0])

    def until(self, cells: int) -> None:
        """Wait until so many cells are finished."""
        while len(self.finished()) < cells:
            if self.process.poll() is not None:
                self.wait()
                break
            time.sleep(0.2)

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def memory_mb(self) -> float:
        """Return the peak memory of its main process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def seconds_a_cell(times: list[float], workers: int) -> float:
    """Return the seconds between two cells, while all workers are at work.

    From the first cell of one turn of the workers to the first of a later turn: workers that wake together
    store their cells together, and the last of a turn would be a part of a turn too early.
    """
    first, last = 2 * workers, len(times) - workers
    return (times[last] - times[first]) / (last - first)


def throughput(folder: Path, counts: list[int], cells: int, nap: float) -> list[dict[str, Any]]:
    """Return a row for each number of nodes, and one for a worker without Ray."""
    rows = []
    for count in (0, *counts):
        seeds = cells * max(1, count)
        options = ("-a", f"nap(seconds={nap})", "--seeds", str(seeds))
        if count:
            with nodes(count) as address:
                sweep = Sweep(folder, f"nodes-{count}", address, *options)
                sweep.wait()
        else:
            sweep = Sweep(folder, "local", "", *options)
            sweep.wait()
        each = seconds_a_cell(sweep.finished(), max(1, count))
        spent = statistics.mean(
            sum(v for k, v in json.loads(p.read_text())["costs"].items() if k.endswith("_seconds"))
            for p in (sweep.out / "cells").glob("*.json")
        )
        rows.append(
            {
                "nodes": count or "no Ray, one worker",
                "cells": seeds,
                "cells a minute": f"{60 / each:.0f}",
                "of the most possible": f"{nap / each / max(1, count):.0%}",
                "beyond its sleep, ms a cell": f"{1e3 * (each * max(1, count) - nap):.0f}",
                "of these simulated, CPU ms": f"{1e3 * spent:.0f}",
                "main process, CPU ms a cell": f"{sweep.main_ms():.1f}",
            }
        )
    return rows


def object_store(folder: Path, count: int, nap: float) -> list[dict[str, Any]]:
    """Return how much of each node's object store is used while its cells read one data set from a file."""
    import ray
    from ray._private.internal_api import node_stats

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (DATA_MB * 2**20 // 784, 28, 28), np.uint8)
    labels = np.arange(len(images)) % 10
    np.savez(folder / "data.npz", x_train=images, y_train=labels, x_test=images[:100], y_test=labels[:100])
    rows = []
    with nodes(count) as address:
        options = ("-a", f"nap(seconds={nap})", "--seeds", str(8 * count), "-d", "npz(path=data.npz)")
        sweep = Sweep(folder, "data", address, *options, "-p", "iid")
        sweep.until(5 * count)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        for number, node in enumerate(ray.nodes()):
            stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"])
            used = stats.store_stats.object_store_bytes_used / 2**20
            rows.append({"node": number, "object store, MB": f"{used:.1f}", "data set, MB": DATA_MB})
        sweep.stop()
    return rows


def queue(folder: Path, cells: int) -> list[dict[str, Any]]:
    """Return the memory of the main process of a sweep of many cells, after some of them."""
    with nodes(1) as address:
        began = time.monotonic()
        sweep = Sweep(folder, "queue", address, "-a", "nap", "--seeds", str(cells))
        sweep.until(20)
        row = {"cells": cells, "finished": len(sweep.finished()), "peak MB": f"{sweep.memory_mb():.0f}"}
        row["s to the first cells"] = f"{time.monotonic() - began:.0f}"
        sweep.stop()
    return [row]


def waiting(counts: list[int]) -> list[dict[str, Any]]:
    """Return what one look at so many tasks in flight costs, as the run takes it for every cell."""
    import ray

    rows = []
    with nodes(1) as address:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        for count in counts:
            task = ray.remote(_sleep).options(num_cpus=1)
            flying = [task.remote() for _ in range(count)]
            ray.wait(flying, num_returns=1, timeout=1)
            cpu = time.process_time()
            for _ in range(20):
                ray.wait(flying, num_returns=1, timeout=0)
                ray.wait(flying, num_returns=count, timeout=0)
            each = (time.process_time() - cpu) / 20
            rows.append({"tasks in flight": count, "a look at them, CPU ms": f"{1e3 * each:.1f}"})
            for reference in flying:
                ray.cancel(reference, force=True)
    return rows


def _sleep() -> None:
    time.sleep(600)


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print a Markdown table."""
    print(f"\n#### {title}\n\n| " + " | ".join(rows[0]) + " |\n|" + "--:|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--nodes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--cells", type=int, default=30, help="for each node")
    parser.add_argument("--nap", type=float, default=2.0, help="seconds that a cell's rule sleeps")
    parser.add_argument("--queued", type=int, default=100_000)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    given = parser.parse_args()
    parts = given.only
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # and with it the nodes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "nap.py").write_text(RULE)
        print(f"Load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
        if "throughput" in parts:
            show("Cells", throughput(folder, given.nodes, given.cells, given.nap))
        if "store" in parts:
            show("A data set in the object store", object_store(folder, max(given.nodes), given.nap))
        if "queue" in parts:
            show("A long queue", queue(folder, given.queued))
        if "waiting" in parts:
            show("Tasks in flight", waiting([200, 800, 3200]))


if __name__ == "__main__":
    main()
