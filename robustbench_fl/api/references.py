"""The papers of a method, read from its docstring, and as BibTeX.

A reference is written as ``.. [1] A. Author, B. Author, "Title", VENUE YEAR, Section 2.`` in the
numpydoc section References; the first one is the method's own.
"""

from __future__ import annotations

import inspect
import re
import unicodedata
from dataclasses import dataclass

from robustbench_fl.core.version import __version__

_REFERENCE = re.compile(
    r'\.\. \[\d+\] (?P<authors>[^"]+?), "(?P<title>[^"]+)", '
    r"(?P<venue>.+?),? (?P<year>(?:19|20)\d\d)\b(?!\.\d)"
)
_SMALL = {"a", "an", "the", "on", "of", "how", "can", "do", "to", "in"}
_JOURNAL = re.compile(r"Journal|Transactions|Proceedings of|TIFS|Monthly")

PROJECT = f"""@software{{robustbench_fl,
  author  = {{{{robustbench-fl developers}}}},
  title   = {{{{robustbench-fl: Comparing Robust Aggregation in Federated Learning}}}},
  version = {{{__version__}}},
  year    = {{2026}},
}}"""
"""How the project itself is cited, for methods that no paper describes."""


@dataclass(frozen=True)
class Reference:
    """A paper, as a docstring names it.

    Parameters
    ----------
    authors : tuple of str
        Initials and surnames, ``"D. Yin"``; ``"others"`` at the end stands for *et al.*
    title : str
        The title.
    venue : str
        Conference, journal with volume, or preprint number.
    year : int
        Of publication.
    """

    authors: tuple[str, ...]
    title: str
    venue: str
    year: int

    @property
    def key(self) -> str:
        """Surname, year and first telling word of the title: ``yin2018byzantine``."""
        words = [re.sub(r"[^a-z0-9]", "", _ascii(word).lower()) for word in re.split(r"[\s-]", self.title)]
        word = next((w for w in words if w and w not in _SMALL), "")
        surname, _ = _name(self.authors[0])
        return re.sub(r"[^a-z]", "", _ascii(surname).lower()) + f"{self.year}{word}"

    def bibtex(self) -> str:
        """Return the BibTeX entry, in UTF-8."""
        kind, field = _kind(self.venue)
        authors = " and ".join(_bibtex_name(author) for author in self.authors)
        fields = {"author": authors, "title": f"{{{self.title}}}", field: self.venue, "year": str(self.year)}
        width = max(map(len, fields))
        lines = [f"  {name:<{width}} = {{{value}}}," for name, value in fields.items()]
        return "\n".join([f"@{kind}{{{self.key},", *lines, "}"])


def references(method: type) -> list[Reference]:
    """Return the papers that the docstring of `method` cites, its own first.

    Examples
    --------
    >>> from robustbench_fl.aggregators.median import Median
    >>> references(Median)[0].key
    'yin2018byzantine'
    """
    text = re.sub(r"\s+", " ", inspect.getdoc(method) or "")
    return [
        Reference(_authors(m["authors"]), m["title"], m["venue"].removesuffix(","), int(m["year"]))
        for m in _REFERENCE.finditer(text)
    ]


def bibtex(method: type) -> str:
    """Return the BibTeX entries of all papers of `method`; of the project where there is none."""
    return "\n\n".join(found.bibtex() for found in references(method)) or PROJECT


def _authors(text: str) -> tuple[str, ...]:
    names = re.split(r",\s+and\s+|,\s+|\s+and\s+", re.sub(r"\s+et al\.", ", others", text))
    return tuple(name for name in names if name)


def _name(author: str) -> tuple[str, str]:
    """Return surname and initials of ``"A.-R. Sadeghi"``."""
    parts = author.split(" ")
    first = next((i for i, part in enumerate(parts) if not part.endswith(".")), 0)
    return " ".join(parts[first:]), " ".join(parts[:first])


def _bibtex_name(author: str) -> str:
    surname, initials = _name(author)
    return f"{surname}, {initials}" if initials else surname


def _kind(venue: str) -> tuple[str, str]:
    """Return the kind of BibTeX entry for a venue, and the field that the venue goes into."""
    if re.match(r"arXiv|github", venue) or "Repository" in venue:
        return "misc", "howpublished"
    if venue.startswith("technical report"):
        return "techreport", "institution"
    return ("article", "journal") if _JOURNAL.search(venue) else ("inproceedings", "booktitle")


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
