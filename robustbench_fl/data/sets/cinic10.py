"""CINIC-10 (Darlow et al., 2018), read with torchvision's ImageFolder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from robustbench_fl.api import MissingDataError, register
from robustbench_fl.data.digests import listing_digest
from robustbench_fl.data.sets._files import FileSet, Split, SplitName
from robustbench_fl.data.sets._folders import BadImage, class_names, image_files, read_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
A_SPLIT = 90_000
"""Images of each of the three official splits."""


@register("cinic10", paper="Darlow 2018", year=2018)
@dataclass(frozen=True, kw_only=True)
class Cinic10(FileSet):
    """CIFAR-10's classes from CIFAR-10 and ImageNet: 90,000 training and 90,000 test images, 3×32×32.

    The official folders ``cinic10/train``, ``cinic10/valid`` and ``cinic10/test``, with a folder of
    PNGs for each class, are looked for under the data folder. They are fetched by hand.

    Parameters
    ----------
    valid : bool
        Whether the clients get the official validation images too, 180,000 in all.
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.

    Notes
    -----
    Normalised by the constants that the authors publish with the data.

    References
    ----------
    .. [1] L. N. Darlow, E. J. Crowley, A. Antoniou, A. J. Storkey, "CINIC-10 Is Not ImageNet or
       CIFAR-10", arXiv:1810.03505, 2018; constants in github.com/BayesWatch/cinic-10.
    """

    valid: bool = False

    image_shape: ClassVar[tuple[int, ...] | None] = (3, 32, 32)
    n_classes: ClassVar[int | None] = 10
    name: ClassVar[str] = "cinic10"
    source: ClassVar[str] = (
        "datashare.ed.ac.uk/handle/10283/3192 (CINIC-10.tar.gz); MIT, images as ImageNet's"
    )

    @property
    def sizes(self) -> tuple[int, int]:  # type: ignore[override]
        """Training and test images."""
        return (A_SPLIT * (2 if self.valid else 1), A_SPLIT)

    def _folders(self, split: SplitName) -> list[str]:
        return ["test"] if split == "test" else ["train", *(["valid"] if self.valid else [])]

    def _used(self) -> list[str]:
        return [*self._folders("train"), *self._folders("test")]

    def prepare(self, data_dir: Path, *, download: bool = False) -> None:
        """Make sure that the folders and their classes are there; they are never fetched."""
        root = data_dir / "cinic10"
        if missing := [name for name in self._used() if not (root / name).is_dir()]:
            refused = "It cannot be downloaded from here. " if download else ""
            raise MissingDataError(
                f"The data set cinic10 is not there: {', '.join(missing)} not found in {root}.\n"
                f"{refused}Fetch CINIC-10.tar.gz from datashare.ed.ac.uk/handle/10283/3192 and unpack it "
                f"there, or point --data-dir to the folder that holds cinic10/train."
            )
        for name in self._used():
            if (found := class_names(root / name)) != CLASSES:
                odd = sorted(set(found) ^ set(CLASSES))
                raise self.damaged(
                    root / name, f"its folders are not the ten classes (missing or more: {', '.join(odd)})"
                )

    def fingerprint(self, data_dir: Path) -> str | None:
        """Return a digest of the files' names, sizes and times: there are too many to read each time."""
        root = data_dir / "cinic10"
        return listing_digest(root, (file for name in self._used() for file in image_files(root / name)))

    def read(self, data_dir: Path, split: SplitName) -> Split:
        """Read the split's folders one after another."""
        parts = [self._read_folder(data_dir / "cinic10" / name) for name in self._folders(split)]
        return Split(
            images=np.concatenate([part.images for part in parts]),
            labels=np.concatenate([part.labels for part in parts]),
        )

    def _read_folder(self, folder: Path) -> Split:
        if (found := len(image_files(folder))) != A_SPLIT:
            raise self.damaged(folder, f"it holds {found} files, not {A_SPLIT}")
        try:
            return read_folder(folder, side=32)
        except BadImage as error:
            raise self.damaged(error.path, error.reason) from error

    def where(self, data_dir: Path, split: SplitName) -> Path:
        """Return the split's folder."""
        return data_dir / "cinic10" / self._folders(split)[0]

    def classes_of(self, train_labels: NDArray[np.int64]) -> int:
        """Return ten."""
        return 10

    def normalisation(self, train_images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the authors' constants."""
        return (0.47889522, 0.47227842, 0.43047404), (0.24205776, 0.23828046, 0.25874835)

    def _repair(self) -> str:
        return "Unpack CINIC-10.tar.gz again."
