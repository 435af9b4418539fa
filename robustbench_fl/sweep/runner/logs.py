"""What a cell's worker printed: ``logs/<key>.log`` in the sweep's folder.

Logs are for people on this machine. They may hold paths, no table reads them, and packing leaves
them out.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from robustbench_fl.core.files import write_atomically
from robustbench_fl.core.record import FINAL, CellRecord
from robustbench_fl.sweep.runner.observers import Observer


def log_path(folder: Path, key: str) -> Path:
    """Return where the log of the cell `key` lies in a sweep's folder, if there is one."""
    return folder / "logs" / f"{key}.log"


class Logs(Observer):
    """The logs of one sweep's folder.

    Parameters
    ----------
    folder : Path
        The sweep's folder.
    keep_all : bool
        Whether logs of cells with a final status stay.
    """

    def __init__(self, folder: Path, *, keep_all: bool = False) -> None:
        self.folder = folder
        self.keep_all = keep_all

    def keep(self, key: str, output: bytes) -> None:
        """Write the log of a cell.

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        if output:
            write_atomically(log_path(self.folder, key), output)

    def finished(self, record: CellRecord) -> None:
        """Remove the log of an earlier failure of a cell that has a result now."""
        if record.status in FINAL and not self.keep_all:
            path = log_path(self.folder, record.key)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                path.parent.rmdir()
