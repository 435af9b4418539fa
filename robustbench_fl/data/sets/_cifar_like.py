"""CIFAR-10 and CIFAR-100: colour images 32×32 in the Python version's batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._torchvision import TorchvisionSet


@dataclass(frozen=True, kw_only=True)
class CifarLike(TorchvisionSet):
    """What the two share.

    The batches are pickles: torchvision reads them, and only once their MD5s are the published ones.
    """

    image_shape: ClassVar[tuple[int, ...] | None] = (3, 32, 32)
    sizes: ClassVar[tuple[int, int] | None] = (50_000, 10_000)

    def opened(self, data_dir: Path, split: SplitName, **options: Any) -> Any:
        """Return torchvision's data set."""
        return self.torchvision_class()(data_dir, train=split == "train", **options)

    def parsed(self, opened: Any) -> Split:
        """Return the images, channels first."""
        images = np.ascontiguousarray(opened.data.transpose(0, 3, 1, 2))
        return Split(images=images, labels=np.array(opened.targets, dtype=np.int64))

    def where(self, data_dir: Path, split: SplitName) -> Path:
        """Return a pattern of the split's files."""
        names = list(self.md5[split])
        pattern = names[0] if len(names) == 1 else names[0].rstrip("0123456789") + "*"
        return data_dir / self.folder / pattern
