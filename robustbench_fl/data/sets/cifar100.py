"""CIFAR-100 (Krizhevsky, 2009), read with torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustbench_fl.api import register
from robustbench_fl.data.sets._cifar_like import CifarLike
from robustbench_fl.data.sets._torchvision import FileSums


@register("cifar100", paper="Krizhevsky 2009", year=2009)
@dataclass(frozen=True, kw_only=True)
class Cifar100(CifarLike):
    """Photos of 100 kinds of things (the fine labels): 50,000 training and 10,000 test images, 3×32×32.

    The files are looked for in ``cifar-100-python`` under the data folder, as torchvision unpacks them.
    They are pickles, and are opened only if their MD5s are those that torchvision knows.

    Parameters
    ----------
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.

    Notes
    -----
    Normalised by the mean and standard deviation of the training pixels, per channel, to four
    digits as usually published. Standard deviations near 0.2 that are also in use are means over
    images of the standard deviation within an image.

    References
    ----------
    .. [1] A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical
       report, University of Toronto, 2009, Chapter 3.
    """

    n_classes: ClassVar[int | None] = 100

    name: ClassVar[str] = "cifar100"
    class_name: ClassVar[str] = "CIFAR100"
    source: ClassVar[str] = "A. Krizhevsky, www.cs.toronto.edu/~kriz/cifar.html; no formal licence"
    mean: ClassVar[tuple[float, ...]] = (0.5071, 0.4865, 0.4409)
    std: ClassVar[tuple[float, ...]] = (0.2673, 0.2564, 0.2762)
    folder: ClassVar[str] = "cifar-100-python"
    md5: ClassVar[FileSums] = {
        "train": {"train": "16019d7e3df5f24257cddd939b257f8d"},
        "test": {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        "names": {"meta": "7973b15100ade9c7d40fb424638fde48"},
    }
