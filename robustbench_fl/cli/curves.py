"""Writes cells for TensorBoard, Weights & Biases and MLflow while a sweep runs."""

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


class Logger(Observer):
    """Writes every finished cell as a run of an experiment tracker, each once.

    Parameters
    ----------
    name : {"wandb", "mlflow"}
        The tracker; its folder below the sweep's has the same name.
    store : Store
        Holds what is finished: cells of earlier runs are written first.
    sweep : str
        The sweep's name, by which the tracker groups them.
    """

    def __init__(self, name: str, store: Store, sweep: str) -> None:
        from robustbench_fl.report.loggers import to_mlflow, to_wandb

        self._folder, self._sweep = store.folder / name, sweep
        self._send = {"wandb": to_wandb, "mlflow": to_mlflow}[name]
        self._marks = self._folder / "written"
        for record in store.stored():
            self._write(record)

    def finished(self, record: CellRecord) -> None:
        """Write a cell."""
        self._write(record.model_dump(mode="json"))

    def _write(self, record: Mapping[str, Any]) -> None:
        mark = self._marks / f"{record['key']}-{record['status']}"
        if not mark.exists():
            self._send(record, self._folder, self._sweep)
            write_atomically(mark, b"")
