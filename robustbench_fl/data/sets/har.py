"""Human activity by smartphone (Anguita et al., 2013), in UCI's text files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from robustbench_fl.api import SampleKind, register
from robustbench_fl.data.digests import open_data
from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._manual import ManualSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURES = 561
_FOLDER = "UCI HAR Dataset"


@register("har", paper="Anguita 2013", year=2013)
@dataclass(frozen=True, kw_only=True)
class Har(ManualSet):
    """Six activities from 561 features of a smartphone's motion: 7,352 training and 2,947 test windows.

    UCI's files are looked for in ``UCI HAR Dataset/train`` and ``UCI HAR Dataset/test`` under the data
    folder: ``X_train.txt``, ``y_train.txt``, ``subject_train.txt``, and those of the test. The 21 training
    subjects are the column ``users``: ``by_column`` makes clients of them. The test windows are of others.

    Parameters
    ----------
    train : int, optional
        Use so many training windows, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test windows.

    Notes
    -----
    The features are published in [−1, 1] and used as they are, by networks that take numbers: ``mlp`` and
    ``logistic``.

    References
    ----------
    .. [1] D. Anguita, A. Ghio, L. Oneto, X. Parra, J. L. Reyes-Ortiz, "A Public Domain Dataset for Human
       Activity Recognition Using Smartphones", ESANN 2013.
    """

    holds: ClassVar[SampleKind] = "numbers"
    image_shape: ClassVar[tuple[int, ...] | None] = (FEATURES,)
    n_classes: ClassVar[int | None] = 6
    sizes: ClassVar[tuple[int, int] | None] = (7352, 2947)
    full_scale: ClassVar[float] = 1.0
    name: ClassVar[str] = "har"
    source: ClassVar[str] = "UCI, archive.ics.uci.edu/dataset/240; CC BY 4.0"
    how: ClassVar[str] = (
        "Fetch 'UCI HAR Dataset.zip' from archive.ics.uci.edu/dataset/240 and unpack its folder "
        "'UCI HAR Dataset' into the data directory."
    )

    def wanted(self, data_dir: Path) -> Sequence[Path]:
        """Return the six files."""
        return [
            data_dir / _FOLDER / split / f"{kind}_{split}.txt"
            for split in ("train", "test")
            for kind in ("X", "y", "subject")
        ]

    def read(self, data_dir: Path, split: SplitName) -> Split:
        """Read the three files of one split."""
        folder = data_dir / _FOLDER / split
        features = self._table(folder / f"X_{split}.txt", np.float32, FEATURES)
        labels = self._table(folder / f"y_{split}.txt", np.int64, 1)[:, 0]
        subjects = self._table(folder / f"subject_{split}.txt", np.int64, 1)[:, 0]
        if len(subjects) != len(labels):
            raise self.damaged(folder, f"it holds {len(labels)} labels and {len(subjects)} subjects")
        columns = {"users": subjects} if split == "train" else {}
        return Split(images=features, labels=labels - 1, columns=columns)

    def _table(self, path: Path, dtype: Any, width: int) -> NDArray[Any]:
        try:
            with open_data(path) as file:
                table = np.loadtxt(file, dtype=dtype, ndmin=2)
        except (ValueError, OSError) as error:
            raise self.damaged(path, f"it is no table of numbers ({error})") from error
        if table.shape[1:] != (width,):
            raise self.damaged(path, f"its lines have {table.shape[1]} numbers, not {width}")
        if not np.isfinite(table).all():
            raise self.damaged(path, "it holds a number that is not finite")
        return table

    def where(self, data_dir: Path, split: SplitName) -> Path:
        """Return the split's folder."""
        return data_dir / _FOLDER / split

    def classes_of(self, train_labels: NDArray[np.int64]) -> int:
        """Return six."""
        return 6

    def normalisation(self, train_images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return what changes nothing."""
        return (0.0,), (1.0,)
