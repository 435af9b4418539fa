"""A planned cell and its outcome as a record. Without torch: the main process records lost cells."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.code import code_in, shown_file
from robustbench_fl.core.provenance import provenance
from robustbench_fl.core.record import CellRecord, Facts, Labels
from robustbench_fl.sweep.runner.environment import Environment


def record(
    planned: Planned, environment: Environment, *, data: str | None = None, **parts: Any
) -> CellRecord:
    """Return the validated record of a planned cell, trained on arrays of the digest `data`."""
    cell = planned.cell
    made_by = {**provenance(), "engine": environment.engine, "device": environment.device}
    if environment.device == "cuda":
        made_by["gpu"] = _name_of_gpu()
    if data is not None:
        made_by["data"] = data
    if environment.suite is not None:
        made_by["suite"] = dict(environment.suite)
    if code_in(cell.identity):
        # Whether the plug-in is in some other commit, nobody here knows.
        made_by |= {"dirty": True, "plugins": dict(map(_named, environment.plugins))}
    return CellRecord(
        key=cell.key,
        cell=dict(cell.identity),
        labels=Labels(**cell.labels),
        facts=Facts(**planned.facts),
        provenance=made_by,
        **parts,
    )


def _name_of_gpu() -> str | None:
    """Return what its driver calls the GPU, ``None`` where nothing has computed on it."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_initialized() else None


@cache
def _named(plugin: Path) -> tuple[str, str | None]:
    """Return a plug-in's path as it may be stored, and the SHA-256 of the file, its first 16 digits."""
    try:
        return shown_file(plugin), hashlib.sha256(plugin.read_bytes()).hexdigest()[:16]
    except OSError:  # sent to another machine, and gone once it was read
        return plugin.name, None
