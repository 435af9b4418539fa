"""A planned cell and its outcome as a record. Without torch: the main process records lost cells."""

from __future__ import annotations

from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.provenance import provenance
from robustbench_fl.core.record import CellRecord, Facts, Labels
from robustbench_fl.sweep.runner.environment import Environment


def record(planned: Planned, environment: Environment, **parts: Any) -> CellRecord:
    """Return the validated record of a planned cell."""
    cell = planned.cell
    return CellRecord(
        key=cell.key,
        cell=dict(cell.identity),
        labels=Labels(**cell.labels),
        facts=Facts(**planned.facts),
        provenance={**provenance(), "engine": environment.engine, "device": environment.device},
        **parts,
    )
