"""The process that a user starts stays small: torch is imported by those it starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SMALL = ["-a", "mean,krum", "-t", "none", "--clients", "8", "--rounds", "1", "-f", "0.2"]


def started(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command line in a fresh process that reports, last, which of torch's modules it holds."""
    script = (
        "import json, sys\n"
        "from robustbench_fl.cli.main import cli\n"
        "if __name__ == '__main__':\n"
        f"    code = cli({command!r}, standalone_mode=False)\n"
        "    print(json.dumps([code or 0, [name for name in sys.modules if name.startswith('torch')]]))\n"
    )
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("command", ["sweep", "plan"])
def test_the_main_process_never_imports_torch(tmp_path: Path, command: str) -> None:
    jobs = ["-j", "2"] if command == "sweep" else []
    done = started([command, *SMALL, *jobs, "-o", str(tmp_path / "out")])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]
    assert "2 cells, 2 to run" in done.stdout
    assert len(list((tmp_path / "out").glob("cells/*.json"))) == (2 if command == "sweep" else 0)


def test_methods_of_a_plug_in_are_read_in_the_other_process_too(tmp_path: Path) -> None:
    plugin = tmp_path / "own.py"
    plugin.write_text(
        "import warnings\n"
        "from dataclasses import dataclass\n"
        "from robustbench_fl.aggregators.mean import Mean\n"
        "from robustbench_fl.api import register\n"
        "warnings.warn('read')\n"
        "@register('own_mean')\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Own(Mean):\n    '''Mean.'''\n"
    )
    command = ["plan", "-a", "own_mean", "-t", "none", "-o", str(tmp_path / "out")]
    done = started([*command, "--plugin", str(plugin)])
    assert done.returncode == 0, done.stderr
    assert "own_mean" in done.stdout
    assert done.stderr.count("UserWarning: read") == 1
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]
    assert "Unknown aggregator 'own_mean'" in started(command).stderr


def test_the_planning_process_ends_with_its_parent(tmp_path: Path) -> None:
    plugin = tmp_path / "slow.py"
    plugin.write_text(
        f"import os, pathlib, time\npathlib.Path({str(tmp_path)!r}, 'pid').write_text(str(os.getpid()))\n"
        "time.sleep(300)\n"
    )
    command = [sys.executable, "-m", "robustbench_fl", "plan", *SMALL, "--plugin", str(plugin)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        child = int(waited(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text()))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    waited(lambda: not alive(child))


def test_a_planning_process_that_dies_is_said(tmp_path: Path) -> None:
    plugin = tmp_path / "dies.py"
    plugin.write_text("import os\nos.kill(os.getpid(), 9)\n")
    command = [sys.executable, "-m", "robustbench_fl", "plan", *SMALL, "--plugin", str(plugin)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "The process that reads methods and data was killed by signal 9" in done.stderr
    assert "Traceback" not in done.stderr


def waited(ready):  # type: ignore[no-untyped-def]
    """Return the first true answer of `ready` within two minutes: the machine may be busy."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if answer := ready():
            return answer
        time.sleep(0.02)
    raise AssertionError("not in two minutes")


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but not waited for does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


_PEAK = """
from pathlib import Path
from robustbench_fl.cli.main import cli
if __name__ == '__main__':
    cli({command!r}, standalone_mode=False)
    # Not getrusage: a process inherits the peak of the one that started it.
    print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to read peak memory")
def test_the_main_process_stays_small_with_ten_thousand_cells(tmp_path: Path) -> None:
    rules = (
        "mean,median,krum,nnm > krum,trimmed_mean(trim=[0.1, 0.2, 0.3]),geometric_median,multi_krum(k=[3, 5])"
    )
    grid = ["-a", rules, "-t", "none,alie,ipm,min_max,sign_flip", "-f", "0.1,0.2", "--seeds", "100"]
    command = ["plan", *grid, "-o", str(tmp_path / "out")]
    script = _PEAK.format(command=command)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "10000 cells, 10000 to run" in done.stdout
    assert int(done.stdout.splitlines()[-1]) < 100 * 1024  # kB; 100,000 cells stay below 300 MB
