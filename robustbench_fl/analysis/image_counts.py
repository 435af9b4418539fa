"""Which test images the cells of a table classified correctly, read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from robustbench_fl.analysis.picks import Array
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.image_counts import unpacked

COLUMN = "_images"
"""Column of a frame with the :class:`Counted` of each cell, where any has them."""
_EXACT = 1e-9


class Counted(NamedTuple):
    """The counts of one cell as they are stored.

    Parameters
    ----------
    key : str
        The cell.
    accuracy : float
        Mean of the last evaluations.
    finite : bool
        Whether no evaluation broke down.
    images, evaluations : int
        Test images, and evaluations counted.
    text : str
        As in the record.
    """

    key: str
    accuracy: float
    finite: bool
    images: int
    evaluations: int
    text: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Counted | None:
        """Return the counts of a record, ``None`` if it has none: it is older, or was not finished."""
        counts, metrics = record.get("image_counts"), record.get("metrics")
        if not counts or not metrics:
            return None
        parts = (counts["images"], counts["evaluations"], counts["packed"])
        return cls(record["key"], metrics["accuracy"], record["status"] == "done", *parts)

    def correct(self) -> Array:
        """Return how often each image was classified correctly, shares in [0, 1], [n_images].

        An evaluation with an output that was not finite counts as chance for every image.

        Raises
        ------
        UsageError
            If the record contradicts itself.
        """
        try:
            shares: Array = unpacked(self.text, self.images, self.evaluations) / self.evaluations
        except ValueError as error:
            raise self._changed(str(error)) from None
        chance = self.accuracy - float(shares.mean())
        if not (abs(chance) < _EXACT if self.finite else -_EXACT < chance <= 1):
            raise self._changed(f"their mean is {shares.mean():.4f}, the accuracy {self.accuracy:.4f}")
        return shares + chance

    def _changed(self, why: str) -> UsageError:
        return UsageError(
            f"The record of cell {self.key} was changed: its counts of correct answers for each test image "
            f"do not fit ({why}). Remove cells/{self.key}.json and run the sweep again."
        )


class SharedImages(Sequence[Any]):
    """Correctness of cells, indexed as :mod:`robustbench_fl.analysis.inference` does.

    Parameters
    ----------
    cells : object array of shape [..., n_seeds]
        :class:`Counted` of each cell. Each index takes the first axis; what is left with the seeds
        alone is an array [n_seeds, n_images].
    """

    def __init__(self, cells: NDArray[np.object_]) -> None:
        self._cells = cells

    @classmethod
    def of(cls, cells: NDArray[np.object_], values: Array) -> SharedImages | None:
        """Return the correctness of cells whose accuracies are `values`, of the same shape.

        ``None`` if one that has an accuracy has no counts, since it was run before they were stored:
        the variance over test images cannot be told then.
        """
        known = [isinstance(cell, Counted) for cell in cells[~np.isnan(values)]]
        return cls(cells) if known and all(known) else None

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self._cells)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> SharedImages: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Return what lies at `index` of the first axis."""
        part = self._cells[index]
        if isinstance(index, slice) or part.ndim > 1:
            return SharedImages(part)
        found = [cell.correct() for cell in part]
        if len({len(one) for one in found}) > 1:
            sizes = " and ".join(str(size) for size in sorted({len(one) for one in found}))
            raise UsageError(f"Seeds of one world have {sizes} test images: cell {part[0].key} and others.")
        return np.array(found)
