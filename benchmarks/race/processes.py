"""Run a command and watch the memory and processor time of all of its processes (Linux)."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""What every process of the race is told: two threads on two cores would make the second worker worthless."""
_TICK = os.sysconf("SC_CLK_TCK")
_EVERY = 0.25
"""Seconds between two looks."""


@dataclass
class Watched:
    """What was seen of some commands that ran side by side.

    Attributes
    ----------
    peak_mb : float
        Largest sum of proportional set sizes of all of their processes: what is shared counts once.
    cpu : float
        Processor seconds of all of them, as of the last look.
    failed : str or None
        Last line of a command that failed, or why it was ended.
    """

    peak_mb: float = 0.0
    failed: str | None = None
    _cpu: dict[int, float] = field(default_factory=dict)

    @property
    def cpu(self) -> float:
        return sum(self._cpu.values())

    def look(self, roots: Sequence[int]) -> None:
        """Note what the processes of the trees below `roots` hold now."""
        memory = 0.0
        for process in _tree(roots):
            with suppress(OSError, ValueError, IndexError):
                self._cpu[process] = sum(_ticks(process)[:2]) / _TICK
                for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        memory += int(line.split()[1]) / 1024
        self.peak_mb = max(self.peak_mb, memory)


def watched(
    commands: Sequence[Sequence[str]],
    environments: Sequence[Mapping[str, str]],
    logs: Sequence[Path],
    timeout: float,
    folder: Path,
) -> Watched:
    """Run `commands` side by side in `folder` until all have ended, and return what was seen.

    Parameters
    ----------
    commands, environments, logs
        What to run, in which environment, and where its output goes.
    timeout : float
        Seconds after which what still runs is ended.
    folder : Path
        Working directory.
    """
    seen = Watched()
    running = []
    for command, environment, log in zip(commands, environments, logs, strict=True):
        with log.open("w") as out:
            running.append(
                subprocess.Popen(
                    command, env=environment, cwd=folder, stdout=out, stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )  # fmt: skip
    until = time.monotonic() + timeout
    while any(process.poll() is None for process in running):
        seen.look([process.pid for process in running])
        if time.monotonic() > until or any(process.poll() for process in running):
            break
        time.sleep(_EVERY)
    for process, log in zip(running, logs, strict=True):
        late = process.poll() is None
        _end(process)
        if process.returncode or late:
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            seen.failed = f"not done after {timeout:.0f} s" if late else (lines or ["no output"])[-1]
    return seen


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what still runs of a command's session, and take its exit status."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def tree_seconds() -> float:
    """Return the processor seconds of this process and of all that it started, ended ones included."""
    seconds = time.process_time() + sum(_ticks(os.getpid())[2:]) / _TICK
    for process in _tree([os.getpid()])[1:]:
        with suppress(OSError, ValueError, IndexError):
            seconds += sum(_ticks(process)) / _TICK
    return seconds


def _ticks(process: int) -> list[int]:
    """Return user and system time of a process, and those of its children that have ended."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return [int(value) for value in after_name[11:15]]


def _tree(roots: Sequence[int]) -> list[int]:
    found = list(roots)
    for process in found:
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{process}/task"):
                children = Path(f"/proc/{process}/task/{thread}/children").read_text()
                found += [int(child) for child in children.split()]
    return found
