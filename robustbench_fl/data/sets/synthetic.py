"""Gaussian classes of adjustable difficulty, for tests and quick trials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt

from robustbench_fl.api import OWN, Arrays, Dataset, register, stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BRIGHT = 4.0
"""Full brightness in standard deviations of the noise: rare enough for a trigger to stand out."""


@register("synthetic", paper=OWN, year=2026)
@dataclass(frozen=True, kw_only=True)
class Synthetic(Dataset):
    """One-channel images: a random mean for each class plus unit Gaussian noise.

    The same parameters always give the same images. The classes are as equal as they can be.

    Parameters
    ----------
    classes : int
        Number of classes.
    side : int
        Height and width in pixels.
    samples : int
        Training images.
    test : int
        Test images.
    separation : float
        Length of each class mean, in standard deviations of the noise of one pixel.
    """

    classes: Annotated[int, Ge(2)] = 10
    side: Annotated[int, Ge(1)] = 8
    samples: Annotated[int, Ge(2)] = 2000
    test: Annotated[int, Ge(1)] = 500
    separation: Annotated[float, Gt(0)] = 4.0

    source: ClassVar[str] = "made up"

    @property
    def image_shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        """One channel of `side` × `side` pixels."""
        return (1, self.side, self.side)

    @property
    def sizes(self) -> tuple[int, int]:  # type: ignore[override]
        """As asked for."""
        return (self.samples, self.test)

    @property
    def n_classes(self) -> int:  # type: ignore[override]
        """As asked for."""
        return self.classes

    def load(self, data_dir: Path, *, download: bool = False) -> Arrays:
        """Draw the images; `data_dir` is not used."""
        means = stream("synthetic", "means").standard_normal((self.classes, self.side**2))
        means *= self.separation / np.linalg.norm(means, axis=1, keepdims=True)
        train_images, train_labels = self._draw("train", self.samples, means)
        test_images, test_labels = self._draw("test", self.test, means)
        return Arrays(
            train_images=train_images,
            train_labels=train_labels,
            test_images=test_images,
            test_labels=test_labels,
            n_classes=self.classes,
            full_scale=_BRIGHT,
            mean=(0.0,),
            std=(1 / _BRIGHT,),
        )

    def _draw(
        self, split: str, size: int, means: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rng = stream("synthetic", split)
        labels = rng.permutation(np.arange(size, dtype=np.int64) % self.classes)
        images = means[labels] + rng.standard_normal((size, self.side**2))
        return images.astype(np.float32).reshape(size, 1, self.side, self.side), labels
