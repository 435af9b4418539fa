"""Writes cells' curves for TensorBoard while a sweep runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustbench_fl.core.files import write_atomically
from robustbench_fl.core.places import inside
from robustbench_fl.core.record import CellRecord
from robustbench_fl.report.tensorboard import FILE_NAME, event_file, run_name
from robustbench_fl.store import Store
from robustbench_fl.sweep.runner.observers import Observer


class Curves(Observer):
    """Writes one event file a cell; those of cells that the sweep finished before are written first.

    Parameters
    ----------
    store : Store
        Holds what is finished.
    folder : Path
        Where to write.

    Raises
    ------
    WriteError
        Here and later, if a file cannot be written.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.folder = folder
        for record in store.stored():
            if not self._path(record).exists():
                self._write(record)

    def finished(self, record: CellRecord) -> None:
        """Write the curves of a cell, if it has any."""
        self._write(record.model_dump(mode="json"))

    def _path(self, record: Mapping[str, Any]) -> Path:
        return inside(self.folder, f"{run_name(record)}/{FILE_NAME}")

    def _write(self, record: Mapping[str, Any]) -> None:
        if record.get("curves"):
            write_atomically(self._path(record), event_file(record, time.time()))
