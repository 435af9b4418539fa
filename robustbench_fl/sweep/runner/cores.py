"""How many workers this process may keep busy: physical cores it may use, within what its group is given."""

from __future__ import annotations

import os
from pathlib import Path

_SYSTEM = Path("/")


def available_cores(root: Path = _SYSTEM) -> int:
    """Return the number of physical cores this process may use, at least 1.

    Two hyperthreads of a core do no more arithmetic than one, so they count once. The process'
    affinity and, on Linux, the CPU quota of its control group are respected.

    Parameters
    ----------
    root : Path
        Where ``sys`` and ``proc`` lie.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
    else:
        allowed = set(range(os.cpu_count() or 1))
    cores = {_core(root, processor) for processor in allowed}
    quota = _quota(root)
    return max(1, len(cores) if quota is None else min(len(cores), round(quota)))


def _core(root: Path, processor: int) -> str:
    """Return what names the core of `processor`: its siblings, else itself."""
    folder = root / f"sys/devices/system/cpu/cpu{processor}/topology"
    for name in ("core_cpus_list", "thread_siblings_list"):
        if siblings := _read(folder / name):
            return siblings
    return str(processor)


def _quota(root: Path) -> float | None:
    """Return how many processors' time the control group of this process is given, if it is limited."""
    group = next(
        (line[3:].strip("/") for line in _read(root / "proc/self/cgroup").splitlines() if line[:3] == "0::"),
        "",
    )
    folders = [Path(group), *Path(group).parents] if group else [Path()]
    limits = [_ratio(_read(root / "sys/fs/cgroup" / folder / "cpu.max").split()) for folder in folders]
    first = root / "sys/fs/cgroup/cpu"  # version 1
    limits.append(_ratio([_read(first / "cpu.cfs_quota_us"), _read(first / "cpu.cfs_period_us")]))
    return min((limit for limit in limits if limit is not None), default=None)


def _ratio(words: list[str]) -> float | None:
    try:
        quota, period = map(int, words)
    except ValueError:  # "max", or nothing to read
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return ""
