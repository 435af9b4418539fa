"""Which cells of a plan one run takes: what ``--only`` and ``--exclude`` mean, then a shard of what is left.

How these expressions are written is said in :mod:`robustbench_fl.sweep.selection_text`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

from robustbench_fl.api.spec import format_value
from robustbench_fl.core.cell import Cell, Planned
from robustbench_fl.core.errors import UsageError, did_you_mean
from robustbench_fl.core.settings import SETTINGS

_POINT = ("dataset", "model", "partition", "aggregator", "attack", "malicious", "assumed_f", "seed", "key")
NUMBERS = frozenset({"malicious", "seed", *(name for name, axis in SETTINGS.items() if axis.kind is not str)})
"""Axes whose values are numbers."""
AXES = (*_POINT, *SETTINGS)
"""What a term may begin with."""
ORDERS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
)
"""Operators that only numbers have."""
_PLAIN = re.compile(r"[A-Za-z0-9_.*?:/@>,=+-]+")
_WILD = {"*": ".*", "?": "."}
_SHOWN = 12
"""Known values that an error names."""

Scalar = str | float | None
"""What a cell has on an axis."""


@dataclass(frozen=True)
class Name:
    """A text with wildcards, or ``none``."""

    pattern: str
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        """Return the text that is parsed back."""
        doubled = self.pattern.replace("'", "''")
        return self.pattern if _PLAIN.fullmatch(self.pattern) else f"'{doubled}'"

    def matches(self, value: Scalar) -> bool:
        """Whether a cell with `value` is meant."""
        if not isinstance(value, str):
            return value is None and self.pattern == "none"
        wanted = re.compile(
            "".join(_WILD.get(letter, re.escape(letter)) for letter in _close(self.pattern)), re.DOTALL
        )
        return bool(wanted.fullmatch(_close(value)) or wanted.fullmatch(_bare(value)))


@dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`, both meant."""

    low: float
    high: float
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        """Return the text that is parsed back."""
        low = format_value(self.low)
        return low if self.low == self.high else f"{low}..{format_value(self.high)}"

    def matches(self, value: Scalar) -> bool:
        """Whether a cell with `value` is meant."""
        return value is not None and not isinstance(value, str) and self.low <= value <= self.high


@dataclass(frozen=True)
class Term:
    """One condition on one axis."""

    axis: str
    operator: str
    values: tuple[Name | Span, ...]

    def __str__(self) -> str:
        """Return the text that is parsed back."""
        return f"{self.axis}{self.operator}{'|'.join(map(str, self.values))}"

    def matches(self, value: Scalar) -> bool:
        """Whether a cell with `value` on the axis is meant."""
        if self.operator in ORDERS:
            bound = self.values[0]
            assert isinstance(bound, Span)
            return isinstance(value, int | float) and ORDERS[self.operator](value, bound.low)
        return any(one.matches(value) for one in self.values) == (self.operator == "=")


@dataclass(frozen=True)
class Selection:
    """A parsed expression."""

    terms: tuple[Term, ...]
    flag: str = field(default="--only", compare=False)
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return the expression, which parses back to the same selection."""
        return " ".join(map(str, self.terms))


def select(
    cells: Sequence[Planned], only: Iterable[Selection], exclude: Iterable[Selection]
) -> list[Planned]:
    """Return the cells that any of `only` means (all without one) and none of `exclude`.

    Raises
    ------
    UsageError
        If an expression names a value that none of `cells` has.
    """
    wanted, unwanted = ([_Test(one, cells) for one in many] for many in (only, exclude))
    return [
        planned
        for planned in cells
        if (not wanted or any(test(planned.cell) for test in wanted))
        and not any(test(planned.cell) for test in unwanted)
    ]


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


class _Test:
    """A selection over one plan: every distinct value of an axis is compared once."""

    def __init__(self, selection: Selection, cells: Sequence[Planned]) -> None:
        self._terms: list[tuple[Callable[[Cell], Scalar], dict[Scalar, bool]]] = []
        for term in selection.terms:
            read = _reader(term.axis)
            values = list(dict.fromkeys(read(planned.cell) for planned in cells))
            if term.operator not in ORDERS:
                _refuse_unknown(selection, term, values)
            self._terms.append((read, {value: term.matches(value) for value in values}))

    def __call__(self, cell: Cell) -> bool:
        return all(answers[read(cell)] for read, answers in self._terms)


def _kind_and_key(planned: Planned) -> tuple[Any, ...]:
    cell = planned.cell
    methods = (cell.dataset, cell.model, cell.aggregator, cell.attack)
    return (planned.infeasible is not None, *methods, cell.settings.clients, cell.settings.rounds, cell.key)


def _reader(axis: str) -> Callable[[Cell], Scalar]:
    if axis == "assumed_f":
        return lambda cell: cell.assumed_f or "-"
    return operator.attrgetter(axis if axis in _POINT else f"settings.{axis}")


def _refuse_unknown(selection: Selection, term: Term, values: list[Scalar]) -> None:
    for wanted in term.values:
        if any(wanted.matches(value) for value in values):
            continue
        known = sorted(format_value(v) if not isinstance(v, str) else v for v in values)
        more = f" … ({len(known)} in all)" if len(known) > _SHOWN else ""
        raise fault(
            selection.flag, selection.text, wanted.at, f"no cell of this sweep has {term.axis} {wanted}",
            f"{did_you_mean(str(wanted), [_bare(one) for one in known])}\n".lstrip()
            + f"Here it is one of: {'; '.join(known[:_SHOWN])}{more}",
        )  # fmt: skip


def fault(flag: str, text: str, at: int, what: str, more: str = "") -> UsageError:
    """Return the error about character `at` of the expression `text`, with what more there is to say."""
    message = f"{flag}: {what} (at character {at + 1}).\n  {text}\n  {' ' * at}^"
    return UsageError(f"{message}\n{more}".rstrip())


def _close(text: str) -> str:
    return "".join(text.split())


def _bare(text: str) -> str:
    """Return a chain's text without spaces and parameters: ``nnm>krum``."""
    kept, depth = [], 0
    for letter in _close(text):
        depth += letter == "("
        if not depth:
            kept.append(letter)
        depth -= letter == ")"
    return "".join(kept)
