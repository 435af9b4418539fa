"""Fashion-MNIST (Xiao et al., 2017), read with torchvision."""

from __future__ import annotations

from collections.abc import Mapping
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
    sha256: ClassVar[Mapping[str, str]] = {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    }
