"""What data sets with files share: parts of them, and the check of what was read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge

from robustbench_fl.api import Arrays, Dataset, UsageError, stream
from robustbench_fl.data.strata import Strata

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SplitName = Literal["train", "test"]
MOST_CLASSES = 32_768
"""A label beyond is damage: every class takes room in the network and in each record."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split as its files hold it.

    Parameters
    ----------
    images : uint8 or float32 array [N, channels, height, width]
        Raw values; [N, features] for numbers, [N, length] for text.
    labels : int64 array [N]
        Classes.
    columns : mapping of str to int64 array [N]
        What else is known of each image.
    """

    images: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.int64]
    columns: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def part(self, chosen: NDArray[np.int64]) -> Split:
        """Return the images at some positions."""
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return Split(images=self.images[chosen], labels=self.labels[chosen], columns=columns)


@dataclass(frozen=True, kw_only=True)
class FileSet(Dataset):
    """A data set that is read from files, whole or in stratified parts.

    Parameters
    ----------
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.
    """

    train: Annotated[int, Ge(1)] | None = None
    test: Annotated[int, Ge(1)] | None = None

    full_scale: ClassVar[float] = 255.0
    """The raw value of full brightness."""
    name: ClassVar[str]
    """As the user knows it; also names the stream that picks a part."""

    @abstractmethod
    def read(self, data_dir: Path, split: SplitName) -> Split:
        """Read one split whole; :meth:`prepare` has found its files."""

    @abstractmethod
    def where(self, data_dir: Path, split: SplitName) -> Path:
        """Return what a message about a damaged split should name."""

    @abstractmethod
    def classes_of(self, train_labels: NDArray[np.int64]) -> int:
        """Return the number of classes."""

    @abstractmethod
    def normalisation(self, train_images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each channel after division by `full_scale`."""

    def load(self, data_dir: Path, *, download: bool = False) -> Arrays:
        """Read the files.

        Raises
        ------
        MissingDataError
            If files are missing and not to be fetched, or cannot be.
        UsageError
            If a file is damaged, or more images are asked for than there are.
        """
        self.prepare(data_dir, download=download)
        train, test = self.read(data_dir, "train"), self.read(data_dir, "test")
        classes = self.classes_of(train.labels)
        if classes > MOST_CLASSES:
            raise self.damaged(
                self.where(data_dir, "train"),
                f"it holds the label {classes - 1}; at most {MOST_CLASSES:,} classes are read",
            )
        self._check(data_dir, train, "train", classes)
        self._check(data_dir, test, "test", classes)
        if train.images.shape[1:] != test.images.shape[1:]:
            raise self.damaged(
                self.where(data_dir, "test"),
                f"test {self.holds} are {_shape(test)}, training {self.holds} {_shape(train)}",
            )
        mean, std = self.normalisation(train.images)
        train, test = self._part(train, "train", classes), self._part(test, "test", classes)
        return Arrays(
            train_images=train.images,
            train_labels=train.labels,
            test_images=test.images,
            test_labels=test.labels,
            n_classes=classes,
            full_scale=self.full_scale,
            mean=mean,
            std=std,
            columns=train.columns,
        )

    def damaged(self, path: Path, reason: str) -> UsageError:
        """Return the error about a file that is there and cannot be used."""
        return UsageError(
            f"A file of the data set {self.name} is damaged: {path}: {reason}.\n{self._repair()}"
        )

    def _repair(self) -> str:
        return "Delete it and run again with --download."

    def _check(self, data_dir: Path, split: Split, name: SplitName, classes: int) -> None:
        path, labels = self.where(data_dir, name), split.labels
        if len(split.images) != len(labels):
            raise self.damaged(path, f"it holds {len(split.images)} {self.holds} and {len(labels)} labels")
        if not len(labels):
            raise self.damaged(path, f"it holds no {self.holds}")
        if self.image_shape is not None and split.images.shape[1:] != self.image_shape:
            raise self.damaged(path, f"its {self.holds} are {_shape(split)}, not {_text(self.image_shape)}")
        for label in (int(labels.min()), int(labels.max())):
            if not 0 <= label < classes:
                raise self.damaged(
                    path, f"it holds the label {label}; the {classes} classes are 0 … {classes - 1}"
                )

    def _part(self, split: Split, name: SplitName, classes: int) -> Split:
        """Return the stratified part asked for; smaller parts lie mostly within larger ones."""
        size = getattr(self, name)
        if size is None:
            return split
        if size > len(split.labels):
            raise UsageError(
                f"{self.name}: {name}={size} asks for more than the {len(split.labels)} images there are."
            )
        return split.part(Strata(split.labels, classes, stream("subset", self.name, name)).draw(size))


def _shape(split: Split) -> str:
    return _text(split.images.shape[1:])


def _text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
