"""A table that names its own rank and score columns and says how it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd


class Said(str):
    """A sentence that explains some columns and nothing else.

    Parameters
    ----------
    text : str
        The sentence.
    *about : str
        The columns, by name.
    """

    about: tuple[str, ...]

    def __new__(cls, text: str, *about: str) -> Said:
        """Return `text` as a sentence about columns."""
        said = super().__new__(cls, text)
        said.about = about
        return said


def explaining(sentences: Iterable[str], is_shown: Callable[[str], bool]) -> list[str]:
    """Return `sentences` without those that explain columns of which none is shown."""
    return [one for one in sentences if not isinstance(one, Said) or any(map(is_shown, one.about))]


@dataclass(frozen=True)
class Table:
    """What an analysis found, ready for any renderer.

    Attributes
    ----------
    table : pandas.DataFrame
        One row for each thing compared, best first; fractions, milliseconds, MiB.
    rank_column : str or None
        The column of the ranks; None where nothing is ranked.
    score_column : str
        The column that the rows are sorted by.
    sentences : tuple of str
        What the reader must know: sort key, seeds, blocks, policy, origin.
    """

    table: pd.DataFrame
    rank_column: str | None
    score_column: str
    sentences: tuple[str, ...]

    @property
    def caption(self) -> str:
        """All sentences as one paragraph."""
        return " ".join(self.sentences)


@dataclass(frozen=True)
class Sections:
    """The same table for each value of some columns.

    Attributes
    ----------
    by : tuple of str
        The columns.
    parts : tuple of (tuple of labels, Table)
        In order of the labels, one label for each column of `by`.
    """

    by: tuple[str, ...]
    parts: tuple[tuple[tuple[object, ...], Table], ...]

    @property
    def shared(self) -> tuple[str, ...]:
        """The sentences that are true of every part, in their order."""
        first, *others = [part.sentences for _, part in self.parts]
        return tuple(sentence for sentence in first if all(sentence in other for other in others))
