"""Street View House Numbers (Netzer et al., 2011), read with torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from robustbench_fl.api import register
from robustbench_fl.data.sets._files import Split, SplitName
from robustbench_fl.data.sets._torchvision import FileSums, TorchvisionSet


@register("svhn", paper="Netzer 2011", year=2011)
@dataclass(frozen=True, kw_only=True)
class Svhn(TorchvisionSet):
    """Cropped digits of house numbers: 73,257 training and 26,032 test images, 3×32×32.

    The files ``train_32x32.mat`` and ``test_32x32.mat`` are looked for in the data folder itself,
    where torchvision puts them. The set ``extra`` is not used. Classes are unequal: there are 2.7
    times as many ones as nines.

    Parameters
    ----------
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.

    Notes
    -----
    Normalised by the mean and standard deviation of the training pixels, per channel, to four
    digits as usually published.

    References
    ----------
    .. [1] Y. Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning",
       NIPS Workshop on Deep Learning and Unsupervised Feature Learning, 2011.
    """

    image_shape: ClassVar[tuple[int, ...] | None] = (3, 32, 32)
    n_classes: ClassVar[int | None] = 10
    sizes: ClassVar[tuple[int, int] | None] = (73_257, 26_032)

    name: ClassVar[str] = "svhn"
    class_name: ClassVar[str] = "SVHN"
    source: ClassVar[str] = "ufldl.stanford.edu/housenumbers; for non-commercial use only"
    mean: ClassVar[tuple[float, ...]] = (0.4377, 0.4438, 0.4728)
    std: ClassVar[tuple[float, ...]] = (0.1980, 0.2010, 0.1970)
    md5: ClassVar[FileSums] = {
        "train": {"train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373"},
        "test": {"test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3"},
    }

    def opened(self, data_dir: Path, split: SplitName, **options: Any) -> Any:
        """Return torchvision's data set."""
        return self.torchvision_class()(data_dir, split=split, **options)

    def parsed(self, opened: Any) -> Split:
        """Return the images; torchvision has already made class 0 of the label 10."""
        images = np.ascontiguousarray(opened.data)
        return Split(images=images, labels=np.asarray(opened.labels, dtype=np.int64))

    def where(self, data_dir: Path, split: SplitName) -> Path:
        """Return the split's file."""
        return data_dir / next(iter(self.md5[split]))
