"""Reading data sets with torchvision, with errors a user can act on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from robustbench_fl.api import MissingDataError
from robustbench_fl.data.digests import files_digest
from robustbench_fl.data.published import Known
from robustbench_fl.data.sets._files import FileSet, Split, SplitName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FileSums = Mapping[SplitName | Literal["names"], Mapping[str, str]]
"""The published MD5s of the files of each split, and of what holds the names of classes."""


@dataclass(frozen=True, kw_only=True)
class TorchvisionSet(FileSet):
    """A data set that torchvision reads, and fetches where that is allowed."""

    class_name: ClassVar[str]
    """torchvision's class."""
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]

    folder: ClassVar[str] = ""
    """Where torchvision puts the files, relative to the data directory."""
    md5: ClassVar[FileSums] = {}

    def files(self) -> Sequence[Known]:
        """Return the files it consists of."""
        known = {name: digest for part in self.md5.values() for name, digest in part.items()}
        return [Known((PurePosixPath(self.folder) / name).as_posix(), md5=known[name]) for name in known]

    @abstractmethod
    def opened(self, data_dir: Path, split: SplitName, **options: Any) -> Any:
        """Return torchvision's data set of one split, with further options of its constructor."""

    @abstractmethod
    def parsed(self, opened: Any) -> Split:
        """Return what torchvision has read."""

    def torchvision_class(self) -> Any:
        """Return torchvision's class; importing it takes a while."""
        from torchvision import datasets

        return getattr(datasets, self.class_name)

    def prepare(self, data_dir: Path, *, download: bool = False) -> None:
        """Make sure that the files are there and are what was published."""
        if missing := [file for file in self.files() if not (data_dir / file.path).is_file()]:
            if not download:
                raise self._missing(data_dir, missing)
            self._fetch(data_dir)
        for file in self.files():
            if fault := file.fault(data_dir):
                raise self.damaged(data_dir / file.path, fault)

    def fingerprint(self, data_dir: Path) -> str | None:
        """Return a digest of the files' contents."""
        return files_digest(data_dir, (data_dir / file.path for file in self.files()))

    def read(self, data_dir: Path, split: SplitName) -> Split:
        """Let torchvision read."""
        try:
            return self.parsed(self.opened(data_dir, split))
        except Exception as error:  # torchvision signals damage in many ways, asserts included
            reason = f"torchvision cannot read it ({type(error).__name__}: {error})"
            raise self.damaged(self.where(data_dir, split), reason) from error

    def classes_of(self, train_labels: NDArray[np.int64]) -> int:
        """Return the published number of classes."""
        assert self.n_classes is not None
        return self.n_classes

    def normalisation(self, train_images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the published constants."""
        return self.mean, self.std

    def _missing(self, data_dir: Path, missing: Sequence[Known]) -> MissingDataError:
        folder = (data_dir / missing[0].path).parent
        names = ", ".join(Path(file.path).name for file in missing)
        held = folder.relative_to(data_dir).as_posix()
        holder = "the folder that holds " + (held if held != "." else "them")
        return MissingDataError(
            f"The data set {self.name} is not there: {names} not found in {folder}.\n"
            f"Fetch it with robustbench-fl data fetch {self.name} (a sweep does so with --download),\n"
            f"or point --data-dir to {holder}."
        )

    def _fetch(self, data_dir: Path) -> None:
        try:
            for split in ("train", "test"):
                self.opened(data_dir, split, download=True)
        except (OSError, RuntimeError) as error:
            folder = (data_dir / self.files()[0].path).parent
            said = str(error).strip().splitlines()
            raise MissingDataError(
                f"The data set {self.name} could not be downloaded to {folder}: "
                f"{said[-1] if said else type(error).__name__}\n"
                f"Check the connection and the rights to the folder, or put the files "
                f"{', '.join(Path(file.path).name for file in self.files())} there yourself."
            ) from error
