"""CIFAR-10 and CIFAR-100: colour images 32×32 in the Python version's batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robustbench_fl.data.published import Known
from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._torchvision import TorchvisionSet


@dataclass(frozen=True, kw_only=True)
class CifarLike(TorchvisionSet):
    """What the two share.

    The batches are pickles: torchvision reads them, and only once their MD5s are the published ones.
    """

    image_shape: ClassVar[tuple[int, ...] | None] = (3, 32, 32)
    sizes: ClassVar[tuple[int, int] | None] = (50_000, 10_000)

    def files(self) -> Sequence[Known]:
        """Return the batches and the file of class names."""
        made = self.torchvision_class()
        known = [*made.train_list, *made.test_list, (made.meta["filename"], made.meta["md5"])]
        return [Known(f"{made.base_folder}/{name}", md5=digest) for name, digest in known]

    def opened(self, data_dir: Path, split: SplitName, **options: Any) -> Any:
        """Return torchvision's data set."""
        return self.torchvision_class()(data_dir, train=split == "train", **options)

    def parsed(self, opened: Any) -> Split:
        """Return the images, channels first."""
        images = np.ascontiguousarray(opened.data.transpose(0, 3, 1, 2))
        return Split(images=images, labels=np.array(opened.targets, dtype=np.int64))

    def where(self, data_dir: Path, split: SplitName) -> Path:
        """Return a pattern of the split's files."""
        made = self.torchvision_class()
        names = made.train_list if split == "train" else made.test_list
        name = str(names[0][0])
        pattern = name if len(names) == 1 else name.rstrip("0123456789") + "*"
        return data_dir / str(made.base_folder) / pattern
