"""Federated EMNIST (Caldas et al., 2018), in LEAF's JSON files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from robustbench_fl.api import register
from robustbench_fl.data.sets._leaf import LeafSet
from robustbench_fl.data.sets._own import pixel_statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register("femnist", paper="Caldas 2018", year=2018)
@dataclass(frozen=True, kw_only=True)
class Femnist(LeafSet):
    """Handwritten digits and letters by writer, 62 classes, 1×28×28, split as LEAF was asked to.

    LEAF's files are looked for in ``femnist/data/train/*.json`` and ``femnist/data/test/*.json`` under the
    data folder. The writers are the column ``users``: ``by_column`` makes clients of them.

    Parameters
    ----------
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.

    Notes
    -----
    LEAF stores pixels in [0, 1], with a white background; they are kept in 256 steps. Normalised by the mean
    and standard deviation of all training pixels, since LEAF publishes none.

    References
    ----------
    .. [1] S. Caldas et al., "LEAF: A Benchmark for Federated Settings", arXiv:1812.01097, 2018, Section 3.
    """

    image_shape: ClassVar[tuple[int, ...] | None] = (1, 28, 28)
    n_classes: ClassVar[int | None] = 62
    name: ClassVar[str] = "femnist"
    source: ClassVar[str] = "github.com/TalwalkarLab/leaf, data/femnist; BSD 2-Clause, images NIST's"
    how: ClassVar[str] = (
        "Clone github.com/TalwalkarLab/leaf, run data/femnist/preprocess.sh there (such as -s niid --sf 0.05 "
        "-t sample), and put its data/train and data/test into femnist/data under the data directory."
    )

    def samples(self, x: list[Any]) -> NDArray[np.uint8]:
        """Return images [n, 1, 28, 28]."""
        pixels = np.asarray(x, dtype=np.float64)
        if pixels.ndim != 2 or pixels.shape[1] != 784 or not 0 <= pixels.min() <= pixels.max() <= 1:
            raise ValueError(f"x of shape {pixels.shape} is no list of 784 pixels in [0, 1] each")
        return np.rint(255 * pixels).astype(np.uint8).reshape(-1, 1, 28, 28)

    def labels(self, y: list[Any]) -> NDArray[np.int64]:
        """Return the classes: 10 digits, 26 capitals, 26 small letters."""
        if not all(type(label) is int for label in y):
            raise ValueError("y holds more than whole numbers")
        return np.asarray(y, dtype=np.int64)

    def classes_of(self, train_labels: NDArray[np.int64]) -> int:
        """Return 62."""
        return 62

    def normalisation(self, train_images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the constants of all training pixels."""
        return pixel_statistics(train_images)
