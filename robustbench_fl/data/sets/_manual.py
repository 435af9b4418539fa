"""Data sets whose files a person fetches and puts into the data directory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from robustbench_fl.api import MissingDataError
from robustbench_fl.data.digests import files_digest
from robustbench_fl.data.published import Known
from robustbench_fl.data.sets._files import FileSet, SplitName


@dataclass(frozen=True, kw_only=True)
class ManualSet(FileSet):
    """A data set that is never fetched from here."""

    how: ClassVar[str]
    """What to fetch, and how to lay it where: ends the message about missing files."""

    @abstractmethod
    def wanted(self, data_dir: Path) -> Sequence[Path]:
        """Return the files that must be there; where any number may be, the folders that hold them."""

    def read_from(self, data_dir: Path) -> Sequence[Path]:
        """Return the files that are read, which are there."""
        return self.wanted(data_dir)

    def files(self) -> Sequence[Known]:
        """Return what is published of the files."""
        return ()

    def prepare(self, data_dir: Path, *, download: bool = False) -> None:
        """Make sure that the files are there, and are what was published."""
        if missing := [path for path in self.wanted(data_dir) if not (path.is_file() or path.is_dir())]:
            refused = "It cannot be downloaded from here. " if download else ""
            names = ", ".join(path.relative_to(data_dir).as_posix() for path in missing)
            raise MissingDataError(
                f"The data set {self.name} is not there: {names} not found in {data_dir}.\n"
                f"{refused}{self.how}"
            )
        for file in self.files():
            if fault := file.fault(data_dir):
                raise self.damaged(data_dir / file.path, fault)

    def fingerprint(self, data_dir: Path) -> str | None:
        """Return a digest of the files' contents."""
        return files_digest(data_dir, self.read_from(data_dir))

    def where(self, data_dir: Path, split: SplitName) -> Path:
        """Return the first file or folder."""
        return self.wanted(data_dir)[0]

    def _repair(self) -> str:
        return self.how
