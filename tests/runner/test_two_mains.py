"""Two sweeps started in one folder at once, as a user starts them: real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from robustbench_fl.store import Store

COMMAND = [sys.executable, "-m", "robustbench_fl", "sweep", "-j", "1", "--clients", "10", "--rounds", "4"]
COMMAND += [
    "-m",
    "mlp(hidden=[16])",
    "--root-size",
    "50",
    "-f",
    "0.2",
    "-t",
    "none,alie,sign_flip",
    "--seeds",
    "2",
]


def started(events: Path) -> list[str]:
    lines = map(json.loads, events.read_text().splitlines())
    return [line["key"] for line in lines if line["event"] == "cell_started"]


def test_nothing_is_lost_and_nothing_is_run_twice(tmp_path: Path) -> None:
    together, alone = tmp_path / "together", tmp_path / "alone"
    halves = {"one": "mean,median,krum", "two": "krum,trimmed_mean,mean"}
    processes = [
        subprocess.Popen(
            [*COMMAND, "-a", rules, "-o", str(together), "--events", str(tmp_path / name)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, rules in halves.items()
    ]
    said = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    rules = "krum,mean,median,trimmed_mean"
    done = subprocess.run(
        [*COMMAND, "-a", rules, "-o", str(alone)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    runs = [started(tmp_path / name) for name in halves]
    assert len(runs[0] + runs[1]) == len({*runs[0], *runs[1]}) == 24
    records = [
        {
            record["key"]: {k: v for k, v in record.items() if k not in ("costs", "provenance")}
            for record in Store.existing(folder).records()
        }
        for folder in (together, alone)
    ]
    assert records[0] == records[1]
    for name in ("leaderboard.md", "matrix-digits-balanced_dirichlet-alpha=0.1-0.2.csv"):
        assert (together / name).is_file()
    assert not (together / "claims").exists()
    assert not list(together.rglob("*.tmp"))
