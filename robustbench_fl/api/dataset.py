"""What a data set must implement."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from robustbench_fl.api.holds import SampleKind

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """A data set as it lies in memory: compact, not yet normalised.

    The network sees ``(images / full_scale - mean) / std``, per channel.

    Parameters
    ----------
    train_images, test_images : uint8 or float32 array [N, channels, height, width]
        Raw values; [N, features] for numbers, [N, length] for text.
    train_labels, test_labels : int64 array [N]
        Classes 0 … n_classes − 1.
    n_classes : int
        Number of classes.
    full_scale : float
        The raw value of full brightness: 255, or 16 for the digits.
    mean, std : tuple of float, one per channel
        Of the training images after division by `full_scale`; one value may stand for all features.
    columns : mapping of str to int64 array [N], optional
        What else is known of each training image, by name: ``users``, who wrote it, as numbers
        that mean nothing but same or not.
    """

    train_images: NDArray[np.uint8] | NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8] | NDArray[np.float32]
    test_labels: NDArray[np.int64]
    n_classes: int
    full_scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    columns: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Return 16 hex digits of a SHA-256 of everything here: two data sets that share it train alike."""
        whole = hashlib.sha256()
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, np.ndarray):
                _add(whole, part.name, value)
            elif part.name == "columns":
                for name in sorted(value):
                    _add(whole, f"columns.{name}", value[name])
            else:
                whole.update(f"{part.name}\0{value!r}\n".encode())
        return whole.hexdigest()[:16]


def _add(whole: hashlib._Hash, name: str, values: NDArray[Any]) -> None:
    whole.update(f"{name}\0{values.dtype.str}\0{values.shape}\n".encode())
    whole.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)


class Dataset(ABC):
    """A registered data set: a frozen dataclass of its options."""

    kind: ClassVar[str] = "datasets"

    holds: ClassVar[SampleKind] = "images"
    """What its samples are."""
    image_shape: ClassVar[tuple[int, ...] | None] = None
    """Of one sample: channels, height, width; where known without reading the files (for the plan)."""
    n_classes: ClassVar[int | None] = None
    """Number of classes, where known without reading the files."""
    sizes: ClassVar[tuple[int, int] | None] = None
    """Training and test images of the whole set, where known without reading the files."""
    source: ClassVar[str] = ""
    """Who publishes it and under what licence, for ``data list``."""

    def pinned(self, data_dir: Path) -> Self:
        """Return the data set with what decides its content written down.

        A user's own files are named by their content: the digest that this adds to the
        parameters is part of a cell's key, where the files lie is not. Nothing to do for others.
        """
        return self

    def fingerprint(self, data_dir: Path) -> str | None:
        """Return a digest of the files that :meth:`load` reads, which are there.

        With the parameters it decides the arrays, which processes of one machine may then share
        (:mod:`robustbench_fl.data.shared`). ``None``, the default, keeps them private.
        """
        return None

    def prepare(self, data_dir: Path, *, download: bool = False) -> None:  # noqa: B027
        """Make sure that :meth:`load` will find its files, fetching them if allowed.

        Called once before any worker starts, so that missing files are refused at once and never
        fetched twice at the same time. Parameters and errors as in :meth:`load`; data sets
        without files need nothing.
        """

    @abstractmethod
    def load(self, data_dir: Path, *, download: bool = False) -> Arrays:
        """Read the data set.

        Parameters
        ----------
        data_dir : Path
            Where data sets with files look for them.
        download : bool
            Whether fetching missing files from their publisher is allowed.

        Raises
        ------
        MissingDataError
            With what was looked for, where, and how to get it.
        """
