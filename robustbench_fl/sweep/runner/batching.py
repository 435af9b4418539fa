"""Which cells run as one batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from robustbench_fl.core.cell import Planned, World


def alike(a: Planned, b: Planned) -> bool:
    """Whether two cells differ in rule, attack and share of malicious clients only, and can run."""
    if a.infeasible or b.infeasible:
        return False
    return World.of(a.cell) == World.of(b.cell) and (a.cell.model, a.cell.settings) == (
        b.cell.model,
        b.cell.settings,
    )


def batches(cells: Iterable[Planned], size: int) -> Iterator[list[Planned]]:
    """Yield `cells` in their order, up to `size` neighbours that are alike at a time.

    No more than one cell is taken ahead of what is yielded.

    Examples
    --------
    >>> list(batches([], 3))
    []
    """
    batch: list[Planned] = []
    for planned in cells:
        if batch and (len(batch) == size or not alike(batch[0], planned)):
            yield batch
            batch = []
        batch.append(planned)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
