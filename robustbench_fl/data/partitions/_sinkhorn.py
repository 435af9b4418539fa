"""Scaling a positive matrix to given margins, and rounding it without losing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SWEEPS = 10_000
_TOLERANCE = 1e-6
"""Samples by which a row may miss its sum; the rounding closes the gap."""


def scaled_to_margins(
    matrix: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return `matrix` with rows and columns rescaled in turn until they have the sums asked for.

    Parameters
    ----------
    matrix : float array [r, c]
        All positive.
    rows, columns : int array [r], [c]
        The sums, equal in total; columns positive.
    """
    scaled = matrix.copy()
    for _ in range(_SWEEPS):
        scaled *= (rows / np.maximum(scaled.sum(axis=1), np.finfo(float).tiny))[:, None]
        scaled *= columns / scaled.sum(axis=0)
        if np.abs(scaled.sum(axis=1) - rows).max() < _TOLERANCE:
            break
    return scaled


def rounded_to_margins(
    matrix: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return whole numbers near `matrix` whose margins are exactly `rows` and `columns`.

    Entries are rounded down; what rows and columns still miss goes to the largest fractions
    whose row and column both have room, then wherever both have room.
    """
    counts = np.floor(matrix + 1e-9).astype(np.int64)
    room_rows, room_columns = rows - counts.sum(axis=1), columns - counts.sum(axis=0)
    for r in np.flatnonzero(room_rows < 0):  # only where the scaling has not converged
        _take_back(counts[r], room_columns, -int(room_rows[r]))
        room_rows[r] = 0
    fractions = matrix - counts
    while room_rows.any():
        for cell in np.argsort(-fractions, axis=None, kind="stable"):
            r, c = divmod(int(cell), matrix.shape[1])
            if room_rows[r] > 0 and room_columns[c] > 0:
                counts[r, c] += 1
                room_rows[r] -= 1
                room_columns[c] -= 1
    return counts


def _take_back(row: NDArray[np.int64], room_columns: NDArray[np.int64], excess: int) -> None:
    for _ in range(excess):
        c = int(np.argmax(row))
        row[c] -= 1
        room_columns[c] += 1
