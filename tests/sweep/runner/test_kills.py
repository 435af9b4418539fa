"""SIGKILL of a sweep's main process or of a worker, at random moments: nothing is lost or run in vain.

In the suite two small sweeps are killed once each. ``make soak`` runs this file with
``ROBUSTBENCH_FL_SOAK=1``: twenty sweeps of 200 cells, and prints what landed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from robustbench_fl.core.seeding import stream

SOAK = bool(os.environ.get("ROBUSTBENCH_FL_SOAK"))
KILLS = int(os.environ.get("ROBUSTBENCH_FL_SOAK_KILLS", "20")) if SOAK else 2
SEEDS = 25 if SOAK else 3
CELLS = 8 * SEEDS
COMMAND = [
    sys.executable, "-m", "robustbench_fl", "sweep", "-d", "synthetic", "-m", "mlp(hidden=[16])",
    "-a", "mean,median,krum,fldetector", "-t", "none,sign_flip", "--clients", "8", "--rounds", "6",
    "-f", "0.25", "--seeds", str(SEEDS), "-j", "2",
]  # fmt: skip
TIMES = ["server_ms", "server_ms_attacked", "peak_memory_mb", "train_seconds", "attack_seconds",
         "aggregate_seconds", "evaluate_seconds"]  # fmt: skip


@dataclass
class Tally:
    """What became of all kills."""

    landed: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    lost: int = 0
    run_twice: int = 0
    run_twice_in_vain: int = 0


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    counted = Tally()
    yield counted
    print(
        f"\n{CELLS} cells a sweep. Kills that landed in mid-run: "
        f"{', '.join(f'{n} of a {victim}' for victim, n in sorted(counted.landed.items()))}, "
        f"with {counted.in_flight} cells in flight.\nCells lost: {counted.lost}. "
        f"Cells run twice: {counted.run_twice}, of them not in flight: {counted.run_twice_in_vain}."
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, run_here: Callable[..., Any]) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("kills") / "undisturbed"
    done = run_here(folder.parent, *COMMAND[3:], "-o", folder)
    assert done.returncode == 0, done.stderr
    return outcome(folder)


def finish(folder: Path) -> None:
    events = ["--events", f"{folder}.jsonl"]
    done = subprocess.run(
        [*COMMAND, "-o", str(folder), *events], capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr


def outcome(folder: Path) -> dict[str, Any]:
    """Return the records and the tables, but for times and memory."""
    found: dict[str, Any] = {}
    for path in (folder / "cells").glob("*.json"):
        record = json.loads(path.read_text())
        for key in ("costs", "provenance", "checksum"):
            record.pop(key, None)
        found[path.name] = record
    for path in set(folder.glob("*.csv")) - {folder / "costs.csv"}:
        table = pd.read_csv(path, dtype=str)
        found[path.name] = table.drop(columns=TIMES, errors="ignore").to_csv(index=False)
    assert {"leaderboard.csv", "cells.csv"} <= set(found)
    return found


def events(folder: Path) -> list[dict[str, Any]]:
    """Return the events so far; a line that the main process had no time to end is none."""
    path = Path(f"{folder}.jsonl")
    told = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in told]


def stored(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "cells").glob("*.json")}


def kill(folder: Path, victim: str, after: int, delay: float) -> set[str]:
    """Run the sweep, kill the victim after so many cells, and return the cells then in flight."""
    process = subprocess.Popen(
        [*COMMAND, "-o", str(folder), "--events", f"{folder}.jsonl"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 900
    while len(stored(folder)) < after and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    time.sleep(delay)
    if victim == "main process":
        process.kill()
        process.communicate()
        return {row["key"] for row in events(folder) if row["event"] == "cell_started"} - stored(folder)
    started = [row for row in events(folder) if row["event"] == "cell_started"]
    os.kill(started[-1]["pid"], signal.SIGKILL)
    _, said = process.communicate(timeout=1800)
    assert process.returncode == 0, said
    return {row["key"] for row in events(folder) if row["event"] == "worker_lost"}


@pytest.mark.parametrize("number", range(KILLS))
def test_a_kill_costs_what_was_in_flight_and_nothing_else(
    number: int, undisturbed: dict[str, Any], tally: Tally, tmp_path: Path
) -> None:
    rng = stream("kills", number)
    victim = ("main process", "worker")[number % 2]
    folder = tmp_path / "out"
    in_flight = kill(folder, victim, int(rng.integers(1, CELLS - 4)), float(rng.uniform(0, 0.1)))
    before = stored(folder)
    assert in_flight, "nothing was running when the kill came"
    if victim == "main process":
        assert 0 < len(before) < CELLS, "the kill must land in the middle"
        finish(folder)
    starts = Counter(row["key"] for row in events(folder) if row["event"] == "cell_started")
    twice = {key for key, times in starts.items() if times > 1}
    tally.landed[victim] += 1
    tally.in_flight += len(in_flight)
    tally.run_twice += len(twice)
    tally.run_twice_in_vain += len(twice - in_flight)
    tally.lost += CELLS - len(stored(folder))
    assert len(stored(folder)) == len(starts) == CELLS
    assert twice <= in_flight
    assert outcome(folder) == undisturbed
