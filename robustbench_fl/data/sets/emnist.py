"""EMNIST (Cohen et al., 2017), read with torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np

from robustbench_fl.api import Shown, register
from robustbench_fl.data.published import Known, Packed
from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._torchvision import TorchvisionSet

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Facts(NamedTuple):
    classes: int
    train: int
    test: int
    mean: float
    std: float


_ARCHIVE, _MD5 = "EMNIST/raw/gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e"
"""What is published is the digest of the whole archive, which torchvision keeps beside the files."""

FACTS = {
    "byclass": _Facts(62, 697_932, 116_323, 0.174, 0.332),
    "bymerge": _Facts(47, 697_932, 116_323, 0.174, 0.332),
    "balanced": _Facts(47, 112_800, 18_800, 0.175, 0.333),
    "letters": _Facts(26, 124_800, 20_800, 0.172, 0.331),
    "digits": _Facts(10, 240_000, 40_000, 0.173, 0.332),
    "mnist": _Facts(10, 60_000, 10_000, 0.173, 0.332),
}
"""What is published of each split: classes, training and test images, mean, standard deviation."""


@register("emnist", paper="Cohen 2017", year=2017)
@dataclass(frozen=True, kw_only=True)
class Emnist(TorchvisionSet):
    """Handwritten digits and letters of NIST's Special Database 19, 1×28×28, in one of six splits.

    The files are looked for in ``EMNIST/raw`` under the data folder, as torchvision unpacks them.
    Images are turned upright (the files hold them transposed), and the letters of the split
    ``letters`` are numbered from 0, not from 1.

    Parameters
    ----------
    split : {"balanced", "byclass", "bymerge", "letters", "digits", "mnist"}
        Classes are 47 equal ones, all 62, 47 unequal ones, 26 letters, or 10 digits.
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.

    Notes
    -----
    Normalised by the mean and standard deviation of the split's training pixels, to three digits
    as PyTorch Lightning Bolts publishes them. The splits do not say who wrote what; for clients
    that are writers see ``by_column``.

    References
    ----------
    .. [1] G. Cohen, S. Afshar, J. Tapson, A. van Schaik, "EMNIST: an Extension of MNIST to
       Handwritten Letters", arXiv:1702.05373, 2017, Table II.
    """

    split: Annotated[Literal["balanced", "byclass", "bymerge", "letters", "digits", "mnist"], Shown()] = (
        "balanced"
    )

    image_shape: ClassVar[tuple[int, ...] | None] = (1, 28, 28)

    class_name: ClassVar[str] = "EMNIST"
    source: ClassVar[str] = "NIST, www.nist.gov/itl/products-and-services/emnist-dataset; public domain"

    @property
    def name(self) -> str:  # type: ignore[override]
        """As the user knows it, with the split."""
        return f"emnist(split={self.split})"

    @property
    def n_classes(self) -> int:  # type: ignore[override]
        """Of the split."""
        return FACTS[self.split].classes

    @property
    def sizes(self) -> tuple[int, int]:  # type: ignore[override]
        """Of the split."""
        return FACTS[self.split][1:3]

    def files(self) -> Sequence[Known]:
        """Return the split's four files."""
        facts = FACTS[self.split]
        names = [
            (f"emnist-{self.split}-{part}-{kind}-ubyte", head + size * count)
            for part, count in (("train", facts.train), ("test", facts.test))
            for kind, head, size in (("images-idx3", 16, 784), ("labels-idx1", 8, 1))
        ]
        packed = {name: Packed(_ARCHIVE, _MD5, f"gzip/{name}.gz") for name, _ in names}
        return [Known(f"EMNIST/raw/{name}", size, packed=packed[name]) for name, size in names]

    def opened(self, data_dir: Path, split: SplitName, **options: Any) -> Any:
        """Return torchvision's data set."""
        return self.torchvision_class()(data_dir, split=self.split, train=split == "train", **options)

    def parsed(self, opened: Any) -> Split:
        """Return the images upright, the classes from 0."""
        images = np.ascontiguousarray(opened.data.numpy().transpose(0, 2, 1)[:, None])
        first = 1 if self.split == "letters" else 0
        return Split(images=images, labels=opened.targets.numpy().astype(np.int64) - first)

    def where(self, data_dir: Path, split: SplitName) -> Path:
        """Return a pattern of the part's two files."""
        return data_dir / f"EMNIST/raw/emnist-{self.split}-{split}-*"

    def normalisation(self, train_images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the published constants of the split."""
        facts = FACTS[self.split]
        return (facts.mean,), (facts.std,)
