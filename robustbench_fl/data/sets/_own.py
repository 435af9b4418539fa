"""What a user's own data sets share: named by content, normalised by their own constants."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from annotated_types import Ge, Gt

from robustbench_fl.api import MissingDataError, Place, UsageError
from robustbench_fl.data.digests import DIGITS
from robustbench_fl.data.locations import inside
from robustbench_fl.data.sets._files import FileSet, SplitName

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class OwnSet(FileSet):
    """A data set in the user's files.

    Parameters
    ----------
    path : str
        Where it is, relative to the data folder.
    digest : str, optional
        What it holds; added when a sweep is planned.
    classes : int, optional
        Number of classes.
    mean, std : list of float, optional
        Of each channel, in [0, 1].
    """

    path: Annotated[str, Place()]
    digest: str | None = None
    classes: Annotated[int, Ge(2)] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[Annotated[float, Gt(0)], ...] | None = None

    @abstractmethod
    def content_digest(self, data_dir: Path) -> str:
        """Return a digest, hex, of what lies at `path`."""

    @abstractmethod
    def exists(self, place: Path) -> str | None:
        """Return what is missing at `place`, or ``None``."""

    def place(self, data_dir: Path) -> Path:
        """Return where the data lies on this machine."""
        return data_dir / inside(data_dir, self.path, self.name)

    def pinned(self, data_dir: Path) -> Self:
        """Return the data set with its path relative to the data folder, and its digest."""
        relative = inside(data_dir, self.path, self.name).as_posix()
        if self.digest is not None:
            return replace(self, path=relative)
        self.prepare(data_dir)
        return replace(self, path=relative, digest=self.content_digest(data_dir)[:DIGITS])

    def prepare(self, data_dir: Path, *, download: bool = False) -> None:
        """Make sure that the data is there and is what the digest says."""
        place = self.place(data_dir)
        if missing := self.exists(place):
            raise MissingDataError(
                f"The data set {self.name} is not there: {missing}.\n"
                f"path is relative to the data directory {data_dir}: choose that with --data-dir "
                f"or $ROBUSTBENCH_FL_DATA."
            )
        if self.digest is not None and (found := self.content_digest(data_dir)[:DIGITS]) != self.digest:
            raise UsageError(
                f"{self.name}: {place} has the digest {found}, but {self.digest} is asked for: "
                "it has changed.\nBring the old content back, or leave digest= out to use the new."
            )

    def fingerprint(self, data_dir: Path) -> str | None:
        """Return the digest."""
        return self.digest or self.content_digest(data_dir)

    def where(self, data_dir: Path, split: SplitName) -> Path:
        """Return the path."""
        return self.place(data_dir)

    def classes_of(self, train_labels: NDArray[np.int64]) -> int:
        """Return the number given, or one more than the largest training label."""
        return self.classes or max(2, int(train_labels.max(initial=0)) + 1)

    def normalisation(self, train_images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the constants given, or those of all training pixels, by channel."""
        channels = train_images.shape[1]
        for name, given in (("mean", self.mean), ("std", self.std)):
            if given is not None and len(given) != channels:
                raise UsageError(f"{self.name}: {name} has {len(given)} values for {channels} channels.")
        mean, std = pixel_statistics(train_images)
        if self.std is None and not min(std) > 0:
            raise UsageError(f"{self.name}: a channel of the training images is constant; give std=[…].")
        return self.mean or mean, self.std or std

    def _repair(self) -> str:
        return "Write it anew; robustbench-fl describe says what it must hold."


def pixel_statistics(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the pixels of each channel, divided by 255.

    Parameters
    ----------
    images : uint8 array [N, channels, height, width]
        Whole numbers, so that the sums are exact and the same everywhere.
    """
    values = np.arange(256, dtype=np.float64)
    counts = [np.bincount(images[:, c].reshape(-1), minlength=256) for c in range(images.shape[1])]
    means = [float(values @ n / n.sum()) for n in counts]
    stds = [float(np.sqrt((values - m) ** 2 @ n / n.sum())) for m, n in zip(means, counts, strict=True)]
    return tuple(m / 255 for m in means), tuple(s / 255 for s in stds)
