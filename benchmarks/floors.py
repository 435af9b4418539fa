"""The least that a rule can take on this machine: reading the matrix, and the arithmetic that defines it.

Each part is measured where nothing else is done: reading the matrix once (``sum``), sorting its columns
where they already lie one after another in the cache, inner products of all pairs of rows in one product
of a matrix with itself, and one product of an [n, n] matrix with the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch

PARTS: Mapping[str, Mapping[str, int]] = {
    "mean": {"read": 1},
    "median": {"sort": 1},
    "trimmed_mean": {"sort": 1},
    "meamed": {"sort": 1},
    "krum": {"products": 1},
    "krum(neighbours=n-f-1)": {"products": 1},
    "multi_krum": {"products": 1, "read": 1},
    "multi_krum(neighbours=n-f-1)": {"products": 1, "read": 1},
    "mda": {"products": 1, "read": 1},
    "bulyan": {"products": 1, "sort": 1},
    "caf": {"products in float64": 1, "read": 1},
    "geometric_median": {"products in float64": 1, "sort": 1, "read": 1},
    # Lengths; twice a mean and the distances from it; the last mean.
    "geometric_median(start=zero, nu=0.1, steps=3)": {"read": 6},
    # Lengths, distances from the centre, and the sum; without a centre of the past one less.
    "centered_clipping": {"read": 3},
    "centered_clipping(tau=100)": {"read": 3},
    "norm_bound": {"read": 2},
    "nnm > trimmed_mean": {"products": 1, "mixing": 1, "sort": 1},
    "nnm > krum(neighbours=n-f-1)": {"products": 2, "mixing": 1},
    "bucketing(s=2) > median": {"read": 1, "half a sort": 1},
    "arc > mean": {"read": 2},
}
"""What each rule does at least, and how often."""
_COLUMNS = 1024
"""Columns of a block that stays in the cache."""


Timer = Callable[[Callable[[], object], int], float]
"""Takes a call and how often to make it to its least milliseconds."""


def floor_ms(text: str, rows: torch.Tensor, best: Timer) -> float | None:
    """Return the least milliseconds of `text` on `rows` [n, d], ``None`` where its parts are unknown."""
    if text not in PARTS:
        return None
    spent = _parts(rows.shape[0], rows.shape[1], best)
    return sum(times * spent(part) for part, times in PARTS[text].items())


@cache
def _parts(n: int, d: int, best: Timer) -> Callable[[str], float]:
    """Return the milliseconds of each part, measured when it is first asked for."""
    width = min(_COLUMNS, d)
    rng = np.random.default_rng(0)
    block = rng.standard_normal((n, width), np.float32)

    @cache
    def spent(part: str) -> float:
        if part == "read":
            matrix = torch.from_numpy(rng.standard_normal((n, d), np.float32))
            return best(matrix.sum, 7)
        return d / width * best(_call(part, block), 7)

    return spent


def _call(part: str, block: np.ndarray) -> Callable[[], object]:
    n = len(block)
    if part in ("sort", "half a sort"):
        columns = np.ascontiguousarray(block[: n if part == "sort" else -(-n // 2)].T)
        room = np.empty_like(columns)

        def ordered() -> None:
            np.copyto(room, columns)
            room.sort(axis=1)

        return ordered
    if part == "mixing":
        mixing = np.full((n, n), 1 / n, np.float32)
        return lambda: mixing @ block
    values = block.astype(np.float64) if part == "products in float64" else block
    return lambda: values @ values.T
