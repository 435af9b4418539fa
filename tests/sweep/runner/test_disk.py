"""A disk that fills up, fails or may not be written while a sweep runs."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import re
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

SOAK = bool(os.environ.get("ROBUSTBENCH_FL_SOAK"))
FLAGS = [
    "sweep", "-d", "synthetic", "-m", "mlp(hidden=[8])", "-a", "mean,median,krum", "-t", "none,sign_flip",
    "--clients", "6", "--rounds", "3", "-f", "0.17", "-j", "1",
]  # fmt: skip
CELLS = 6

# Runs the command line with a thread beside it that waits for some finished cells, and then has the
# kernel answer one kind of system call of all threads with an error (a seccomp filter).
_SABOTAGED = f"""
import sys, threading, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_disk
from robustbench_fl.cli.main import main

def sabotage(folder, fault):
    while len(list(Path(folder, "cells").glob("*.json"))) < 2:
        time.sleep(0.002)
    test_disk.inject(fault)
    print("fault injected", file=sys.stderr)

if __name__ == "__main__":
    folder, fault = sys.argv[1:3]
    threading.Thread(target=sabotage, args=(folder, fault), daemon=True).start()
    sys.argv[1:] = [*{FLAGS!r}, "-o", folder]
    main()
"""

_FAULTS = {
    # Name: system call, argument that is looked at, bits of it that must be set, error.
    "EIO on fsync": (74, None, 0, errno.EIO),
    "ENOSPC on creating files": (257, 2, os.O_CREAT | os.O_EXCL, errno.ENOSPC),
    "ENOSPC on renaming": (82, None, 0, errno.ENOSPC),
}


def inject(fault: str) -> None:
    """Have the kernel answer a system call of this process with an error from now on."""
    call, argument, bits, error = _FAULTS[fault]
    load, jump_equal, and_bits, answer = 0x20, 0x15, 0x54, 0x06
    program = [(load, 0, 0, 0), (jump_equal, 0, 4 if argument is not None else 1, call)]
    if argument is not None:
        program += [(load, 0, 0, 16 + 8 * argument), (and_bits, 0, 0, bits), (jump_equal, 0, 1, bits)]
    program += [(answer, 0, 0, 0x00050000 | error), (answer, 0, 0, 0x7FFF0000)]
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    held = ctypes.create_string_buffer(code, len(code))
    filter_ = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_filter, seccomp, all_threads = 38, 1, 317, 1
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) or libc.syscall(seccomp, set_filter, all_threads, filter_):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter")


def sweep(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "robustbench_fl", *FLAGS, "-o", str(folder)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip


def cells(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "cells").glob("*.json")}


def check_ended_well_and_goes_on(folder: Path, done: subprocess.CompletedProcess[str], why: str) -> None:
    """Check the sentence, the exit code, that all stored cells are whole, and that the rest can be run."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(rf"Error: Cannot write .* in .*: {why}", done.stderr), done.stderr
    before = cells(folder)
    assert 2 <= len(before) < CELLS
    assert {json.loads(content)["status"] for content in before.values()} == {"done"}
    assert not list((folder / "cells").glob(".*.tmp"))


def check_resumes(folder: Path) -> None:
    before = cells(folder)
    again = sweep(folder)
    assert again.returncode == 0, again.stderr
    assert f"{CELLS - len(before)} to run" in again.stdout
    assert len(cells(folder)) == CELLS
    assert before.items() <= cells(folder).items()


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="system calls are numbered for Linux on x86-64",
)
@pytest.mark.parametrize("fault", list(_FAULTS) if SOAK else ["ENOSPC on creating files"])
def test_a_write_error_in_mid_run_ends_it_with_a_sentence(fault: str, tmp_path: Path) -> None:
    folder, script = tmp_path / "out", tmp_path / "sabotaged.py"
    script.write_text(_SABOTAGED)
    done = subprocess.run(
        [sys.executable, str(script), str(folder), fault], capture_output=True, text=True, timeout=600
    )
    if "takes no filter" in done.stderr:
        pytest.skip("this machine's kernel allows no seccomp filter")
    assert "fault injected" in done.stderr
    check_ended_well_and_goes_on(folder, done, os.strerror(_FAULTS[fault][3]))
    check_resumes(folder)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of one MiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_ends_the_run_with_a_sentence(tiny: Path) -> None:
    folder, ballast = tiny / "out", tiny / "ballast"
    process = subprocess.Popen(
        [sys.executable, "-m", "robustbench_fl", *FLAGS, "-o", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while len(cells(folder)) < 2 and process.poll() is None:
        time.sleep(0.002)
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0" * 4096)
    said = process.communicate(timeout=600)
    done = subprocess.CompletedProcess(process.args, process.returncode, *said)
    check_ended_well_and_goes_on(folder, done, os.strerror(errno.ENOSPC))
    ballast.unlink()
    check_resumes(folder)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Give a folder in which nothing may be written, also for root."""
    folder = tmp_path / "out"
    folder.mkdir(mode=0o555)
    if not os.access(folder, os.W_OK):
        yield folder
        return
    bind = ["mount", "--bind", str(folder), str(folder)]
    if subprocess.run(bind, capture_output=True).returncode:
        pytest.skip("root may write anywhere, and cannot mount here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_read_only_folder_is_said_before_anything_runs(read_only: Path) -> None:
    done = sweep(read_only)
    assert done.returncode == 1
    why = "(Read-only file system|Permission denied)"
    assert re.search(f"Error: Cannot write .*: {why}", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(read_only.iterdir())
