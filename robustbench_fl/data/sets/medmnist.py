"""MedMNIST (Yang et al., 2023): medical images 28×28 in NumPy files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np

from robustbench_fl.api import Shown, register
from robustbench_fl.data.published import Known
from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._manual import ManualSet
from robustbench_fl.data.sets._npz import BadArrays, opened
from robustbench_fl.data.sets._own import pixel_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Facts(NamedTuple):
    """Classes, channels, training and test images, and the MD5 of the file."""

    classes: int
    channels: int
    train: int
    test: int
    md5: str


FACTS = {
    "pathmnist": _Facts(9, 3, 89_996, 7180, "a8b06965200029087d5bd730944a56c1"),
    "dermamnist": _Facts(7, 3, 7007, 2005, "0744692d530f8e62ec473284d019b0c7"),
    "octmnist": _Facts(4, 1, 97_477, 1000, "c68d92d5b585d8d81f7112f81e2d0842"),
    "pneumoniamnist": _Facts(2, 1, 4708, 624, "28209eda62fecd6e6a2d98b1501bb15f"),
    "retinamnist": _Facts(5, 3, 1080, 400, "bd4c0672f1bba3e3a89f0e4e876791e4"),
    "breastmnist": _Facts(2, 1, 546, 156, "750601b1f35ba3300ea97c75c52ff8f6"),
    "bloodmnist": _Facts(8, 3, 11_959, 3421, "7053d0359d879ad8a5505303e11de1dc"),
    "tissuemnist": _Facts(8, 1, 165_466, 47_280, "ebe78ee8b05294063de985d821c1c34b"),
    "organamnist": _Facts(11, 1, 34_561, 17_778, "68e3f8846a6bd62f0c9bf841c0d9eacc"),
    "organcmnist": _Facts(11, 1, 12_975, 8216, "b9ceb9546e10131b32923c5bbeaea2b1"),
    "organsmnist": _Facts(11, 1, 13_932, 8827, "9ab87b696fb54e2a387ebe992d6ed5f1"),
}
"""What the authors publish of each in the record that :attr:`MedMnist.how` names."""


@register("medmnist", paper="Yang 2023", year=2023)
@dataclass(frozen=True, kw_only=True)
class MedMnist(ManualSet):
    """Eleven sets of medical images 28×28, grey or in colour, each with its official training and test split.

    The file ``<name>.npz`` is looked for in ``medmnist`` under the data folder. The official validation
    images are not used. ChestMNIST, whose images have several labels each, and volumes are left out.

    Parameters
    ----------
    name : str
        ``pathmnist``, ``dermamnist``, ``octmnist``, ``pneumoniamnist``, ``retinamnist``, ``breastmnist``,
        ``bloodmnist``, ``tissuemnist``, ``organamnist``, ``organcmnist`` or ``organsmnist``.
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.

    Notes
    -----
    Normalised by the mean and standard deviation of the training pixels, per channel. The files are those of
    2024; the three organ sets have some dozen images fewer in them than in the paper's Table 1.

    References
    ----------
    .. [1] J. Yang et al., "MedMNIST v2: A Large-Scale Lightweight Benchmark for 2D and 3D Biomedical Image
       Classification", Scientific Data 10(41), 2023, Table 1.
    """

    name: Annotated[  # type: ignore[misc]
        Literal[
            "pathmnist", "dermamnist", "octmnist", "pneumoniamnist", "retinamnist", "breastmnist",
            "bloodmnist", "tissuemnist", "organamnist", "organcmnist", "organsmnist",
        ],
        Shown(),
    ] = "pathmnist"  # fmt: skip

    source: ClassVar[str] = "medmnist.com; CC BY 4.0 (DermaMNIST CC BY-NC 4.0)"

    @property
    def how(self) -> str:  # type: ignore[override]
        """What to fetch."""
        return (
            f"Fetch {self.name}.npz (28×28) from zenodo.org/records/10519652 and put it into medmnist under "
            "the data directory."
        )

    @property
    def image_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of the set."""
        return (FACTS[self.name].channels, 28, 28)

    @property
    def n_classes(self) -> int:  # type: ignore[override]
        """Of the set."""
        return FACTS[self.name].classes

    @property
    def sizes(self) -> tuple[int, int]:  # type: ignore[override]
        """Of the set."""
        return FACTS[self.name][2:4]

    def files(self) -> Sequence[Known]:
        """Return the one file."""
        return [Known(f"medmnist/{self.name}.npz", md5=FACTS[self.name].md5)]

    def wanted(self, data_dir: Path) -> Sequence[Path]:
        """Return the one file."""
        return [data_dir / "medmnist" / f"{self.name}.npz"]

    def read(self, data_dir: Path, split: SplitName) -> Split:
        """Read the arrays of one split."""
        (path,) = self.wanted(data_dir)
        try:
            with opened(path) as file:
                wanted = [f"{split}_images", f"{split}_labels"]
                if missing := [name for name in wanted if name not in file.names]:
                    raise BadArrays(f"it holds no {' and no '.join(missing)}, only {', '.join(file.names)}")
                images, labels = (file[name] for name in wanted)
        except BadArrays as error:
            raise self.damaged(path, str(error)) from error
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise self.damaged(path, f"its images are {images.dtype} of shape {images.shape}")
        if labels.shape != (len(images), 1) or labels.dtype.kind not in "iu":
            raise self.damaged(path, f"its labels are {labels.dtype} of shape {labels.shape}, not [N, 1]")
        last = images if images.ndim == 4 else images[..., None]
        return Split(
            images=np.ascontiguousarray(last.transpose(0, 3, 1, 2)), labels=labels[:, 0].astype(np.int64)
        )

    def classes_of(self, train_labels: NDArray[np.int64]) -> int:
        """Return the published number."""
        return self.n_classes

    def normalisation(self, train_images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the constants of the training pixels."""
        return pixel_statistics(train_images)
