"""MNIST handwritten digits (LeCun et al., 1998), read with torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from robustbench_fl.api import register
from robustbench_fl.data.sets._mnist_like import MnistLike


@register("mnist", paper="LeCun 1998", year=1998)
@dataclass(frozen=True, kw_only=True)
class Mnist(MnistLike):
    """Handwritten digits: 60,000 training and 10,000 test images, 1×28×28, in the official split.

    The files are looked for in ``MNIST/raw`` under the data folder.

    Parameters
    ----------
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-Based Learning Applied to
       Document Recognition", Proceedings of the IEEE 86(11), 1998, Section III.
    """

    name: ClassVar[str] = "mnist"
    class_name: ClassVar[str] = "MNIST"
    source: ClassVar[str] = "MNIST, yann.lecun.com/exdb/mnist; CC BY-SA 3.0"
    mean: ClassVar[tuple[float, ...]] = (0.1307,)
    std: ClassVar[tuple[float, ...]] = (0.3081,)
    sha256: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
