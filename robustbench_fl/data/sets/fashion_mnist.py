"""Fashion-MNIST (Xiao et al., 2017), read with torchvision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustbench_fl.api import register
from robustbench_fl.data.sets._mnist_like import MnistLike


@register("fashion_mnist", paper="Xiao 2017", year=2017)
@dataclass(frozen=True, kw_only=True)
class FashionMnist(MnistLike):
    """Articles of clothing: 60,000 training and 10,000 test images, 1×28×28, in the official split.

    The files are looked for in ``FashionMNIST/raw`` under the data folder.

    Parameters
    ----------
    train : int, optional
        Use so many training images, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test images.

    References
    ----------
    .. [1] H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
       Machine Learning Algorithms", arXiv:1708.07747, 2017.
    """

    name: ClassVar[str] = "fashion_mnist"
    class_name: ClassVar[str] = "FashionMNIST"
    source: ClassVar[str] = "Zalando Research, github.com/zalandoresearch/fashion-mnist; MIT"
    mean: ClassVar[tuple[float, ...]] = (0.286,)
    std: ClassVar[tuple[float, ...]] = (0.353,)
