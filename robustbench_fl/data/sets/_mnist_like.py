"""MNIST and its look-alikes: four files of greyscale images 28×28 in the idx format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robustbench_fl.data.published import Known
from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._torchvision import TorchvisionSet

FILES: Mapping[str, int] = {
    "train-images-idx3-ubyte": 16 + 60_000 * 784,
    "train-labels-idx1-ubyte": 8 + 60_000,
    "t10k-images-idx3-ubyte": 16 + 10_000 * 784,
    "t10k-labels-idx1-ubyte": 8 + 10_000,
}
"""The unpacked files and their sizes in bytes."""


@dataclass(frozen=True, kw_only=True)
class MnistLike(TorchvisionSet):
    """What MNIST and its look-alikes share."""

    image_shape: ClassVar[tuple[int, ...] | None] = (1, 28, 28)
    n_classes: ClassVar[int | None] = 10
    sizes: ClassVar[tuple[int, int] | None] = (60_000, 10_000)

    sha256: ClassVar[Mapping[str, str]] = {}
    """Of the unpacked files."""

    def files(self) -> Sequence[Known]:
        """Return the four files in torchvision's folder."""
        folder = f"{self.class_name}/raw"
        return [Known(f"{folder}/{name}", size, sha256=self.sha256[name]) for name, size in FILES.items()]

    def opened(self, data_dir: Path, split: SplitName, **options: Any) -> Any:
        """Return torchvision's data set."""
        return self.torchvision_class()(data_dir, train=split == "train", **options)

    def parsed(self, opened: Any) -> Split:
        """Return the images with a channel of their own."""
        images = opened.data.numpy().reshape(-1, 1, 28, 28)
        return Split(images=images, labels=opened.targets.numpy().astype(np.int64))

    def where(self, data_dir: Path, split: SplitName) -> Path:
        """Return a pattern of the split's two files."""
        return data_dir / self.class_name / "raw" / ("train-*" if split == "train" else "t10k-*")
