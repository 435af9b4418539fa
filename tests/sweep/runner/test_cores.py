"""How many cores there are for this process, on machines made of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from robustbench_fl.sweep.runner.cores import available_cores


def machine(root: Path, siblings: dict[int, str]) -> Path:
    """Write the topology of a machine: for each processor those it shares a core with."""
    for processor, shared in siblings.items():
        folder = root / f"sys/devices/system/cpu/cpu{processor}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{shared}\n")
    return root


def group(root: Path, limits: dict[str, str], own: str) -> None:
    """Write control groups of version 2 with their ``cpu.max``."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"12:cpu:/old\n0::/{own}\n")
    for name, limit in limits.items():
        folder = root / "sys/fs/cgroup" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(f"{limit}\n")


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Let this process run on the processors of a set."""
    processors = set(range(8))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: processors, raising=False)
    return processors


HYPERTHREADS = {n: f"{n % 4},{n % 4 + 4}" for n in range(8)}


def test_hyperthreads_of_a_core_count_once(tmp_path: Path, allowed: set[int]) -> None:
    root = machine(tmp_path, HYPERTHREADS)
    assert available_cores(root) == 4
    allowed -= {0, 4, 5}
    assert available_cores(root) == 3  # 1 alone, 2 with 6, 3 with 7


def test_without_a_topology_every_processor_is_a_core(tmp_path: Path, allowed: set[int]) -> None:
    assert available_cores(tmp_path) == len(allowed)


@pytest.mark.parametrize(
    ("limits", "own", "cores"),
    [
        ({"a/b": "max 100000"}, "a/b", 4),
        ({"a/b": "250000 100000", "a": "max 100000"}, "a/b", 2),
        ({"a/b": "max 100000", "a": "100000 100000"}, "a/b", 1),  # the tightest of all above it
        ({"a/b": "1000 100000"}, "a/b", 1),
        ({"a/b": "9999999 100000"}, "a/b", 4),
        ({"a/b": "200000 100000"}, "other", 4),
        ({".": "300000 100000"}, "", 3),
        ({"a": "nonsense"}, "a", 4),
    ],
)
@pytest.mark.usefixtures("allowed")
def test_the_quota_of_the_control_group(tmp_path: Path, limits: dict[str, str], own: str, cores: int) -> None:
    group(machine(tmp_path, HYPERTHREADS), limits, own)
    assert available_cores(tmp_path) == cores


@pytest.mark.usefixtures("allowed")
def test_the_quota_of_version_1(tmp_path: Path) -> None:
    folder = machine(tmp_path, HYPERTHREADS) / "sys/fs/cgroup/cpu"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_period_us").write_text("100000")
    for quota, cores in (("-1", 4), ("200000", 2)):
        (folder / "cpu.cfs_quota_us").write_text(quota)
        assert available_cores(tmp_path) == cores


def test_here_it_is_at_least_one_and_no_more_than_processors() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
