"""Processor time of commands that run no simulation: the first answer, and the same one again.

``python benchmarks/answers.py`` from a checkout; each command is a process of its own.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile

COMMANDS = (
    "--help",
    "list models",
    "list aggregators",
    "list attacks",
    "list --groups",
    "describe krum",
    "data list",
    "env",
    "plan -a mean,krum,fedredefense -t none,alie",
    "partition",
    "recommend --clients 30 --malicious 0.2 --alpha 0.5 --knows f,model --budget-ms 50",
    "leaderboard results/reference-digits",
    "matrix results/reference-digits",
    "differences results/reference-digits",
    "status results/reference-digits",
    "compare results/quickstart results/quickstart",
)


def seconds(command: str, cache: str) -> float:
    """Return the user and system time that a command takes, its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "robustbench_fl", *command.split()],
        check=True, stdout=subprocess.DEVNULL, env={**os.environ, "ROBUSTBENCH_FL_CACHE": cache},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print a Markdown table."""
    print("| command | first, s | again, s |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory() as cache:
        for command in COMMANDS:
            first, again = seconds(command, cache), min(seconds(command, cache) for _ in range(2))
            print(f"| `{command}` | {first:.2f} | {again:.2f} |")


if __name__ == "__main__":
    main()
