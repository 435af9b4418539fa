"""The race against other simulators: the same work by each, in an environment of its own.

``python benchmarks/race.py`` makes the inputs once, installs each peer into an environment below
``build/race``, runs the protocol (1,000 users of 50 CIFAR-shaped samples, 50 of them a round, batches of 10,
one epoch, lr 0.1; after pfl's published benchmark, shortened) with one worker and with two, and writes
``build/race/runs/*.json``. What is there is not run again. ``--tables`` only writes tables and figure into
``benchmarks/README.md`` from these files.
``race/matrix.py`` races whole matrices.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from race.environments import NotInstalled, python_of
from race.log import BEGAN
from race.networks import NETWORKS
from race.peers import PEERS, Peer
from race.prepare import make
from race.processes import ONE_THREAD, watched
from race.tables import write_readme

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "race"


def main() -> None:
    """Race."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--workers", nargs="+", type=int, choices=[1, 2], default=[1, 2])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--cohort", type=int, default=50)
    parser.add_argument(
        "--turns", type=int, default=2, help="runs of each, in turns; the one with the quickest round is kept"
    )
    parser.add_argument("--timeout", type=float, default=900, help="seconds of a run")
    parser.add_argument("--out", type=Path, default=BUILD)
    parser.add_argument(
        "--again", action="store_true", help="run what has a file already, too; the better run is kept"
    )
    parser.add_argument("--tables", action="store_true", help="only write tables and figure")
    parser.add_argument(
        "--share-torch",
        action="store_true",
        help="let the peers' environments see the packages of this one, so that each need not install\n"
        "torch; all then run on the same torch, whatever version they ask for",
    )
    given = parser.parse_args()
    runs = given.out / "runs"
    if not given.tables:
        inputs = given.out / "inputs"
        make(inputs, users=given.users, samples=50, cohort=given.cohort, rounds=given.rounds)
        runs.mkdir(exist_ok=True)
        for network in given.networks:
            for workers in given.workers:
                places = {name: runs / f"{network}-{workers}-{name}.json" for name in given.peers}
                todo = {name: place for name, place in places.items() if given.again or not place.exists()}
                for _ in range(given.turns):
                    for name, out in todo.items():
                        run(name, network, workers, given, inputs, out)
    if given.tables:
        write_readme(HERE / "README.md", given.out, HERE / "race.png")


def run(
    name: str,
    network: str,
    workers: int,
    given: argparse.Namespace,
    inputs: Path,
    out: Path,
) -> None:
    """Run one peer and write what was seen, unless a run before had a quicker round."""
    peer = PEERS[name]
    copies = 1 if peer.splits else workers
    parts = [out.with_name(f"{out.stem}.part{i}") for i in range(copies)]
    began = time.time()
    try:
        python = python_of(peer, given.out / "environments", given.share_torch)
    except NotInstalled as error:
        found: dict[str, Any] = {"failed": f"not installed: {error}"}
    else:
        load = os.getloadavg()[0]
        script = [str(python), "-m", f"race.{peer.script}", str(inputs), network]
        options = ["--rounds", str(given.rounds), "--workers", str(workers if peer.splits else 1)]
        began = time.time()
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": _path(peer), BEGAN: str(began)}
        seen = watched(
            [[*script, str(part), *options] for part in parts],
            [environment] * copies,
            [part.with_suffix(".log" if copies == 1 else f".log{i}") for i, part in enumerate(parts)],
            given.timeout,
            given.out,
        )
        found = {"load_before": load, "peak_mb": round(seen.peak_mb), "cpu": round(seen.cpu, 1)}
        if seen.failed:
            found["failed"] = seen.failed
        else:
            found["copies"] = [json.loads(part.read_text()) for part in parts]
            for part in parts:
                part.unlink()
    found |= {"network": network, "workers": workers, "peer": name, "wall": round(time.time() - began, 1)}
    before = json.loads(out.read_text()) if out.exists() else {}
    if quickest(found) < quickest(before) or not before:
        out.write_text(json.dumps(found, indent=1))
    said = found.get("failed") or f"{1e3 * statistics.median(found['copies'][0]['cpu']):.0f} CPU ms a round"
    print(f"{network}, {workers} worker(s), {peer.name}: {said}", flush=True)


def quickest(found: dict[str, Any]) -> float:
    """Return the least processor time of a round."""
    return min(min(copy["cpu"]) for copy in found["copies"]) if "copies" in found else math.inf


def _path(peer: Peer) -> str:
    """Return where a peer's script finds modules: this project only where the script is its own."""
    return os.pathsep.join([str(HERE)] + ([] if peer.requires else [str(HERE.parent)]))


if __name__ == "__main__":
    sys.exit(main())
