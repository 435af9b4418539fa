"""A user's own arrays in one NumPy file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from robustbench_fl.api import OWN, register
from robustbench_fl.data.digests import file_digest
from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._npz import Archive, BadArrays, opened
from robustbench_fl.data.sets._own import OwnSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_CHANNELS = 4


@register("npz", paper=OWN, year=2026)
@dataclass(frozen=True, kw_only=True)
class Npz(OwnSet):
    """Arrays ``x_train``, ``y_train``, ``x_test``, ``y_test`` in a file of NumPy's ``savez``.

    Images are uint8, [N, height, width, channels] or [N, height, width]; labels are whole numbers
    from 0, [N]. Further arrays ``<name>_train`` of N whole numbers or texts are columns that
    ``by_column`` can split by: ``users_train`` says who each image is from.

    Parameters
    ----------
    path : str
        The file, relative to the data folder. It is not part of a cell's key.
    digest : str, optional
        First 16 hex digits of the file's SHA-256. It is added when a sweep is planned, and is what
        names the data in a cell's key; if given, a file with other content is refused.
    classes : int, optional
        Number of classes; by default one more than the largest training label.
    mean, std : list of float, optional
        One value a channel, of pixels divided by 255; by default those of the training images.
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.

    Notes
    -----
    Nothing in the file is unpickled.
    """

    name: ClassVar[str] = "npz"
    source: ClassVar[str] = "your own"

    def exists(self, place: Path) -> str | None:
        """Return what is missing."""
        return None if place.is_file() else f"there is no file {place}"

    def content_digest(self, data_dir: Path) -> str:
        """Return the file's SHA-256."""
        return file_digest(self.place(data_dir))

    def read(self, data_dir: Path, split: SplitName) -> Split:
        """Read the arrays of one split."""
        path = self.place(data_dir)
        try:
            with opened(path) as file:
                return self._split(path, file, split)
        except BadArrays as error:
            raise self.damaged(path, str(error)) from error

    def _split(self, path: Path, file: Archive, split: SplitName) -> Split:
        x, y = f"x_{split}", f"y_{split}"
        if missing := [name for name in (x, y) if name not in file.names]:
            raise self.damaged(
                path, f"it holds no {' and no '.join(missing)}, only {', '.join(file.names) or 'nothing'}"
            )
        images, labels = self._images(path, x, file[x]), self._labels(path, y, file[y])
        columns = self._columns(path, file, len(labels)) if split == "train" else {}
        return Split(images=images, labels=labels, columns=columns)

    def _images(self, path: Path, name: str, raw: NDArray[Any]) -> NDArray[np.uint8]:
        if raw.dtype != np.uint8:
            raise self.damaged(path, f"{name} is {raw.dtype}, not uint8")
        if raw.ndim == 3:
            raw = raw[..., None]
        if raw.ndim != 4 or not 1 <= raw.shape[3] <= _MOST_CHANNELS:
            raise self.damaged(
                path, f"{name} has the shape {raw.shape}, not [N, height, width] or "
                f"[N, height, width, channels] with at most {_MOST_CHANNELS} channels"
            )  # fmt: skip
        return np.ascontiguousarray(raw.transpose(0, 3, 1, 2))

    def _labels(self, path: Path, name: str, raw: NDArray[Any]) -> NDArray[np.int64]:
        if raw.ndim != 1 or raw.dtype.kind not in "iu":
            raise self.damaged(path, f"{name} is {raw.dtype} of shape {raw.shape}, not whole numbers [N]")
        return raw.astype(np.int64)

    def _columns(self, path: Path, file: Archive, n: int) -> dict[str, NDArray[np.int64]]:
        """Return the further columns of the training images, their values numbered from 0."""
        found = {}
        for name in sorted(set(file.names) - {"x_train", "y_train"}):
            if not name.endswith("_train"):
                continue
            values = file[name]
            if values.shape != (n,) or values.dtype.kind not in "iuU":
                raise self.damaged(
                    path, f"{name} is {values.dtype} of shape {values.shape}, not {n} whole numbers or texts"
                )
            found[name.removesuffix("_train")] = np.unique(values, return_inverse=True)[1].astype(np.int64)
        return found
