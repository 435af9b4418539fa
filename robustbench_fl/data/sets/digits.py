"""Handwritten digits of 8×8 pixels (Alpaydin and Kaynak, 1998), as shipped with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np

from robustbench_fl.api import Arrays, Dataset, register, stream
from robustbench_fl.data.strata import Strata

_TEST_SHARE = 0.2


@register("digits", paper="Alpaydin 1998", year=1998)
@dataclass(frozen=True, kw_only=True)
class Digits(Dataset):
    """1797 handwritten digits, 1×8×8, values 0 … 16; needs no files.

    One fixed stratified split, the same in every cell: 1438 training and 359 test images.

    References
    ----------
    .. [1] E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
       Learning Repository, 1998.
    """

    image_shape: ClassVar[tuple[int, ...] | None] = (1, 8, 8)
    n_classes: ClassVar[int | None] = 10
    sizes: ClassVar[tuple[int, int] | None] = (1438, 359)
    source: ClassVar[str] = "scikit-learn, from archive.ics.uci.edu/dataset/80; CC BY 4.0"

    def load(self, data_dir: Path, *, download: bool = False) -> Arrays:
        """Read scikit-learn's file, without what importing it costs; `data_dir` is not used."""
        rows = np.loadtxt(_file(), np.int64, delimiter=",")
        images, labels = rows[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8), rows[:, -1]
        strata = Strata(labels, 10, stream("test split", "digits"))
        test = strata.draw(round(_TEST_SHARE * len(labels)))
        train = strata.rest()
        return Arrays(
            train_images=images[train],
            train_labels=labels[train],
            test_images=images[test],
            test_labels=labels[test],
            n_classes=10,
            full_scale=16.0,
            mean=(0.3054,),
            std=(0.3763,),
        )


def _file() -> Path:
    """Return where scikit-learn keeps them."""
    found = find_spec("sklearn")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
