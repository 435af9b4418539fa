"""A table whose entries are text already, written for a terminal, as Markdown or as LaTeX."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tabulate import tabulate

WIDTH = 100


@dataclass(frozen=True)
class Text:
    """A table ready for people.

    Attributes
    ----------
    headers : list of str
    rows : list of list of str
    numeric : list of bool
        Columns set flush right.
    caption : str
    bold : set of (int, int)
        Entries (row, column) to emphasise.
    bold_means : str
        A sentence on what is emphasised, for writers that can emphasise.
    """

    headers: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    caption: str = ""
    bold: set[tuple[int, int]] = field(default_factory=set)
    bold_means: str = ""

    @property
    def full_caption(self) -> str:
        """The caption with the meaning of what is emphasised."""
        return " ".join(filter(None, (self.caption, self.bold_means)))

    def emphasised(self, escape: Callable[[str], str], mark: Callable[[str], str]) -> list[list[str]]:
        """Return the rows escaped, the emphasised entries marked."""
        return [
            [mark(escape(entry)) if (i, j) in self.bold else escape(entry) for j, entry in enumerate(row)]
            for i, row in enumerate(self.rows)
        ]


def terminal(text: Text, bold: bool = False) -> str:
    """Return aligned columns, the caption below; `bold` emphasises with the terminal's escape codes."""
    body = ""
    if text.headers:
        rows = text.emphasised(str, lambda entry: f"\x1b[1m{entry}\x1b[0m") if bold else text.rows
        body = tabulate(rows, text.headers, "simple", disable_numparse=True, colalign=_aligned(text))
    return "\n\n".join(
        filter(None, (body, textwrap.fill(text.full_caption if bold else text.caption, WIDTH)))
    )


def markdown(text: Text) -> str:
    """Return a pipe table, the caption as a paragraph below."""
    rows = text.emphasised(_markdown_escaped, lambda entry: f"**{entry}**")
    headers = list(map(_markdown_escaped, text.headers))
    body = ""
    if headers:
        body = tabulate(rows, headers, "pipe", disable_numparse=True, colalign=_aligned(text))
    return "\n\n".join(filter(None, (body, _markdown_escaped(text.full_caption))))


def latex(text: Text) -> str:
    """Return a booktabs tabular, the caption as comment lines below."""
    said = [f"% {line}" for line in textwrap.wrap(text.full_caption, WIDTH - 2)]
    if not text.headers:
        return "\n".join(said)
    rows = text.emphasised(_latex_escaped, lambda entry: f"\\textbf{{{entry}}}")
    columns = "".join("r" if numeric else "l" for numeric in text.numeric)
    lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", _latex_row(map(_latex_escaped, text.headers))]
    lines += ["\\midrule", *map(_latex_row, rows), "\\bottomrule", "\\end{tabular}"]
    return "\n".join(lines + said)


WRITERS: Mapping[str, Callable[[Text], str]] = MappingProxyType(
    {"table": terminal, "md": markdown, "latex": latex}
)
TITLES: Mapping[str, str] = MappingProxyType({"table": "{}:", "md": "### {}", "latex": "% {}"})
"""How the title of a section is written, by format."""


def _aligned(text: Text) -> list[str]:
    return ["right" if numeric else "left" for numeric in text.numeric]


def _markdown_escaped(text: str) -> str:
    for mark in ("\\", "*", "<", "|"):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


_LATEX = str.maketrans(
    {mark: f"\\{mark}" for mark in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"–": "--", "×": r"$\times$", "−": "$-$", "<": r"\textless{}", ">": r"\textgreater{}"}
)


def _latex_escaped(text: str) -> str:
    return text.translate(_LATEX)


def _latex_row(entries: Iterable[str]) -> str:
    return " & ".join(entries) + r" \\"
