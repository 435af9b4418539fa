"""Which cells of a plan one run takes: filters, then a shard of what they leave."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.errors import UsageError
from robustbench_fl.sweep.selection import Selection, select


@dataclass(frozen=True)
class Shard:
    """One of several parts of a plan, for job arrays.

    Every cell is in exactly one part. Which one follows from the cells alone, not from what is
    finished or how long it took: parts that start at different times must still agree. Cells of
    one kind (data set, model, rule, attack, clients, rounds) take about as long as each other; each kind is
    dealt out like cards, so that no two parts differ by more than one cell of it, nor in all.

    Parameters
    ----------
    number : int
        From 1 to `count`.
    count : int
        How many parts there are.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard that ``"2/8"`` means.

        Raises
        ------
        UsageError
            If it is none.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"--shard must be i/n with i from 1 to n, such as 1/8 … 8/8, got {text!r}.")
        return cls(int(match[1]), int(match[2]))

    def of(self, cells: Sequence[Planned]) -> list[Planned]:
        """Return the cells of this part, in their order in `cells`."""
        dealt = sorted(range(len(cells)), key=lambda place: _kind_and_key(cells[place]))
        return [cells[place] for place in sorted(dealt[self.number - 1 :: self.count])]


@dataclass(frozen=True)
class Choice:
    """What a run takes of the cells that were asked for.

    Parameters
    ----------
    only : tuple of Selection
        Cells that any of them means; all without one.
    exclude : tuple of Selection
        Cells that none of them means.
    shard : Shard, optional
        The part that is run here.
    """

    only: tuple[Selection, ...] = ()
    exclude: tuple[Selection, ...] = ()
    shard: Shard | None = None

    def of(self, cells: Sequence[Planned]) -> list[Planned]:
        """Return the chosen cells, in their order.

        Raises
        ------
        UsageError
            If an expression names a value that no cell has, or no cell is left.
        """
        left = list(cells)
        if self.only or self.exclude:
            left = select(cells, self.only, self.exclude)
            if cells and not left:
                raise UsageError(f"--only and --exclude leave none of the {len(cells)} cells.")
        return self.shard.of(left) if self.shard else left


def _kind_and_key(planned: Planned) -> tuple[Any, ...]:
    cell = planned.cell
    methods = (cell.dataset, cell.model, cell.aggregator, cell.attack)
    return (planned.infeasible is not None, *methods, cell.settings.clients, cell.settings.rounds, cell.key)
