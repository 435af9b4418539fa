"""CIFAR-10 (Krizhevsky, 2009), read with torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustbench_fl.api import register
from robustbench_fl.data.sets._cifar_like import CifarLike
from robustbench_fl.data.sets._torchvision import FileSums


@register("cifar10", paper="Krizhevsky 2009", year=2009)
@dataclass(frozen=True, kw_only=True)
class Cifar10(CifarLike):
    """Photos of 10 kinds of animals and vehicles: 50,000 training and 10,000 test images, 3×32×32.

    The files are looked for in ``cifar-10-batches-py`` under the data folder, as torchvision unpacks them.
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

    n_classes: ClassVar[int | None] = 10

    name: ClassVar[str] = "cifar10"
    class_name: ClassVar[str] = "CIFAR10"
    source: ClassVar[str] = "A. Krizhevsky, www.cs.toronto.edu/~kriz/cifar.html; no formal licence"
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)
    folder: ClassVar[str] = "cifar-10-batches-py"
    md5: ClassVar[FileSums] = {
        "train": {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
        "names": {"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
    }
