"""Shakespeare by role (McMahan et al., 2017), in LEAF's JSON files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from robustbench_fl.api import SampleKind, register
from robustbench_fl.data.sets._leaf import LeafSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

LETTERS = "\n !\"&'(),-.0123456789:;>?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]abcdefghijklmnopqrstuvwxyz}"
"""LEAF's characters, in its order."""
LENGTH = 80
_NUMBERS = {letter: number for number, letter in enumerate(LETTERS)}
_OTHER = _NUMBERS[" "]


@register("shakespeare", paper="McMahan 2017", year=2017)
@dataclass(frozen=True, kw_only=True)
class Shakespeare(LeafSet):
    """The next character after 80 of a role in Shakespeare's plays, one of 80; for ``char_lstm``.

    LEAF's files are looked for in ``shakespeare/data/train/*.json`` and ``shakespeare/data/test/*.json``
    under the data folder. The roles are the column ``users``: ``by_column`` makes clients of them.

    Parameters
    ----------
    train : int, optional
        Use so many training samples, the classes in proportion, the same ones in every cell.
    test : int, optional
        Likewise for the test samples.

    Notes
    -----
    A character that is none of LEAF's 80 counts as a space. A network reads characters as whole numbers.

    References
    ----------
    .. [1] H. B. McMahan et al., "Communication-Efficient Learning of Deep Networks from
       Decentralized Data", AISTATS 2017, Section 3.
    .. [2] S. Caldas et al., "LEAF: A Benchmark for Federated Settings", arXiv:1812.01097, 2018, Section 3.
    """

    holds: ClassVar[SampleKind] = "text"
    image_shape: ClassVar[tuple[int, ...] | None] = (LENGTH,)
    n_classes: ClassVar[int | None] = len(LETTERS)
    full_scale: ClassVar[float] = 1.0
    name: ClassVar[str] = "shakespeare"
    source: ClassVar[str] = "github.com/TalwalkarLab/leaf, data/shakespeare; BSD 2-Clause"
    how: ClassVar[str] = (
        "Clone github.com/TalwalkarLab/leaf, run data/shakespeare/preprocess.sh there (such as -s niid "
        "--sf 0.2 -t sample), and put its data/train and data/test into shakespeare/data under the "
        "data directory."
    )

    def samples(self, x: list[Any]) -> NDArray[np.uint8]:
        """Return characters by number [n, 80]."""
        if odd := [text for text in x if not isinstance(text, str) or len(text) != LENGTH]:
            raise ValueError(f"x holds what is no text of {LENGTH} characters: {str(odd[0])[:20]!r}")
        numbers = [_NUMBERS.get(letter, _OTHER) for text in x for letter in text]
        return np.array(numbers, dtype=np.uint8).reshape(-1, LENGTH)

    def labels(self, y: list[Any]) -> NDArray[np.int64]:
        """Return the next character by number."""
        if odd := [letter for letter in y if not isinstance(letter, str) or len(letter) != 1]:
            raise ValueError(f"y holds what is no single character: {str(odd[0])[:20]!r}")
        return np.array([_NUMBERS.get(letter, _OTHER) for letter in y], dtype=np.int64)

    def classes_of(self, train_labels: NDArray[np.int64]) -> int:
        """Return 80."""
        return len(LETTERS)

    def normalisation(self, train_images: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return what changes nothing: numbers stand for characters."""
        return (0.0,), (1.0,)
