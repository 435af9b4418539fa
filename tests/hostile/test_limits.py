"""Pipes and devices for files, outputs that take nothing, limits on memory: a sentence and an exit code."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from robustbench_fl.cli.main import cli
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.files import read_regular
from robustbench_fl.core.refusals import is_out_of_memory
from robustbench_fl.store import Store
from robustbench_fl.sweep.config import read_sweep

SOAK = os.environ.get("ROBUSTBENCH_FL_SOAK") == "1"
RELEASE = Path(__file__).parents[1] / "store" / "release-0.1"
STATUS = f"{sys.executable} -m robustbench_fl status {RELEASE}"


@pytest.mark.parametrize(
    ("shell", "code", "said"),
    [
        (f"{STATUS} >&-", 0, ""),
        (f"{STATUS} >/dev/full", 1, "Error: Cannot write the output: No space left on device"),
        (f"PYTHONIOENCODING=ascii PYTHONUTF8=0 LC_ALL=C {STATUS} --format json", 0, ""),
    ],
)
def test_an_output_that_takes_nothing_ends_no_command_badly(
    shell: str, code: int, said: str, own_cache: None
) -> None:
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert bool(done.stderr) == bool(said)


def test_pipes_and_devices_and_giants_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sweep.toml")
    with pytest.raises(UsageError, match="Cannot read the sweep file"):
        read_sweep(tmp_path / "sweep.toml")
    with pytest.raises(UsageError, match="Cannot read the sweep file"):
        read_sweep(Path("/dev/zero"))
    with (tmp_path / "giant.toml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UsageError, match=r"has more than|[Tt]oo large"):
        read_sweep(tmp_path / "giant.toml")
    done = CliRunner().invoke(cli, ["list", "aggregators", "--plugin", str(tmp_path / "sweep.toml")])
    assert done.exit_code
    folder = Path(shutil.copytree(RELEASE, tmp_path / "s"))
    store = Store(folder)
    store.unpack()
    first, second, third = sorted((folder / "cells").glob("*.json"))[:3]
    first.unlink()
    os.mkfifo(first)
    with second.open("r+b") as file:
        file.truncate(1 << 40)
    third.unlink()
    third.symlink_to("/dev/zero")
    names = {name for name, _ in Store(folder).problems()}
    assert {Path(name).name for name in names} >= {first.name, second.name, third.name}
    with pytest.raises(OSError, match="no ordinary file"):
        read_regular(first)


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("-n 12", "Too many open files"),
        ("-v 600000", "more memory: "),
        *((("-v 200000", ""), ("-v 3200000", ""), ("-v 4000000", "")) if SOAK else ()),
    ],
)
def test_a_limit_is_a_sentence_and_no_failed_cell(limit: str, said: str, tmp_path: Path) -> None:
    words = "sweep -a mean -t none --rounds 1 --clients 4 -j 1 -o s"
    shell = f"ulimit {limit}; cd {tmp_path}; {sys.executable} -m robustbench_fl {words}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=300)
    assert done.returncode in ((1,) if said else (0, 1)), done.stderr
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    stored = Store(tmp_path / "s").statuses() if (tmp_path / "s").exists() else {}
    assert set(stored.values()) <= {"done", "oom", "interrupted"}


def test_every_refusal_of_memory_is_oom() -> None:
    wrapped = UsageError("a plug-in failed")
    wrapped.__cause__ = ImportError("x.so: failed to map segment from shared object")
    assert is_out_of_memory(wrapped)
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert is_out_of_memory(OSError("libx.so: failed to map segment from shared object"))
    assert is_out_of_memory(RuntimeError("can't start new thread"))
    assert not is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))
    assert not is_out_of_memory(ImportError("No module named 'x'"))
