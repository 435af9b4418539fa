"""Purchase-100 (Shokri et al., 2017), as published by its authors or as an npz."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from robustbench_fl.api import SampleKind, register, stream
from robustbench_fl.data.digests import open_data
from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._manual import ManualSet
from robustbench_fl.data.sets._npz import BadArrays, opened
from robustbench_fl.data.strata import Strata

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURES, CLASSES = 600, 100
_TEST_SHARE = 0.2
_FOLDER, _NPZ, _CSV = "purchase100", "purchase100.npz", "dataset_purchase"


@register("purchase100", paper="Shokri 2017", year=2017)
@dataclass(frozen=True, kw_only=True)
class Purchase100(ManualSet):
    """A hundred styles of shopping from 600 products bought or not; for ``mlp`` and ``logistic``.

    Looked for in ``purchase100`` under the data folder: ``purchase100.npz`` with ``features`` and ``labels``
    (one-hot, or from 0), else the authors' ``dataset_purchase``, lines of a class from 1 and 600 zeros and
    ones. One fixed stratified fifth is the test split, the same in every cell: none is published.

    Parameters
    ----------
    train : int, optional
        Use so many training samples, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test samples.

    References
    ----------
    .. [1] R. Shokri, M. Stronati, C. Song, V. Shmatikov, "Membership Inference Attacks against Machine
       Learning Models", IEEE S&P 2017, Section VI-A.
    """

    holds: ClassVar[SampleKind] = "numbers"
    image_shape: ClassVar[tuple[int, ...] | None] = (FEATURES,)
    n_classes: ClassVar[int | None] = CLASSES
    full_scale: ClassVar[float] = 1.0
    name: ClassVar[str] = "purchase100"
    source: ClassVar[str] = "github.com/privacytrustlab/datasets, dataset_purchase.tgz; no formal licence"
    how: ClassVar[str] = (
        "Fetch dataset_purchase.tgz from github.com/privacytrustlab/datasets and unpack dataset_purchase "
        "into purchase100 under the data directory, or put a purchase100.npz with features and labels there."
    )

    def wanted(self, data_dir: Path) -> Sequence[Path]:
        """Return the one file, the npz if it is there."""
        npz, csv = (data_dir / _FOLDER / name for name in (_NPZ, _CSV))
        return [npz if npz.exists() or not csv.exists() else csv]

    def read(self, data_dir: Path, split: SplitName) -> Split:
        """Read the file and return the split's part of it."""
        (path,) = self.wanted(data_dir)
        features, labels = self._npz(path) if path.suffix == ".npz" else self._csv(path)
        if features.ndim != 2 or features.shape[1] != FEATURES or not np.isin(features, (0, 1)).all():
            raise self.damaged(
                path, f"features of shape {features.shape} are not {FEATURES} zeros and ones each"
            )
        whole = Split(images=features.astype(np.uint8), labels=labels.astype(np.int64))
        self._check(data_dir, whole, split, CLASSES)
        strata = Strata(whole.labels, CLASSES, stream("test split", self.name))
        test = strata.draw(round(_TEST_SHARE * len(labels)))
        return whole.part(test if split == "test" else strata.rest())

    def _npz(self, path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
        try:
            with opened(path) as file:
                if missing := [name for name in ("features", "labels") if name not in file.names]:
                    raise BadArrays(f"it holds no {' and no '.join(missing)}, only {', '.join(file.names)}")
                features, labels = file["features"], file["labels"]
        except BadArrays as error:
            raise self.damaged(path, str(error)) from error
        if labels.ndim == 2 and len(labels) and np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all():
            return features, labels.argmax(1)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise self.damaged(path, f"labels are {labels.dtype} of shape {labels.shape}, not one-hot or [N]")
        return features, labels

    def _csv(self, path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
        try:
            with open_data(path) as file:
                table = np.loadtxt(file, delimiter=",", dtype=np.int16, ndmin=2)
        except (ValueError, OSError, OverflowError) as error:
            raise self.damaged(path, f"it is no table of whole numbers ({error})") from error
        return table[:, 1:], table[:, 0] - 1

    def classes_of(self, train_labels: NDArray[np.int64]) -> int:
        """Return a hundred."""
        return CLASSES

    def normalisation(self, train_images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return what changes nothing."""
        return (0.0,), (1.0,)
