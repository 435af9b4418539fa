"""A table whose entries are text already, written for a terminal, as Markdown, LaTeX or HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from types import MappingProxyType

from tabulate import tabulate

from robustbench_fl.core.foreign import BOLD, PLAIN, in_latex, in_markdown, in_one_line, on_terminal

WIDTH = 100
"""Columns that a caption takes at most, however wide the terminal is."""

HEAD_PADDING = 2
"""What tabulate leaves beside a header."""


def _in_html(text: str) -> str:
    return escape(in_one_line(text))


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

    @property
    def width(self) -> int:
        """Columns that it takes on a terminal."""
        return side_by_side(self.widths)

    @property
    def widths(self) -> list[int]:
        """What each of its columns takes."""
        return [
            max([len(head) + HEAD_PADDING, *map(len, entries)])
            for head, *entries in zip(self.headers, *self.rows, strict=True)
        ]

    def parts(self, width: int) -> list[Text]:
        """Return the table as several, each with the first column, none wider than `width`."""
        parts: list[list[int]] = [[0]]
        for place in range(1, len(self.headers)):
            if len(parts[-1]) > 1 and self._of([*parts[-1], place]).width > width:
                parts.append([0])
            parts[-1].append(place)
        return [self._of(chosen) for chosen in parts]

    def _of(self, chosen: list[int]) -> Text:
        bold = {(i, chosen.index(j)) for i, j in self.bold if j in chosen}
        rows = [[row[place] for place in chosen] for row in self.rows]
        return Text([self.headers[j] for j in chosen], rows, [self.numeric[j] for j in chosen], bold=bold)

    def emphasised(self, escape: Callable[[str], str], mark: Callable[[str], str]) -> list[list[str]]:
        """Return the rows escaped, the emphasised entries marked."""
        return [
            [mark(escape(entry)) if (i, j) in self.bold else escape(entry) for j, entry in enumerate(row)]
            for i, row in enumerate(self.rows)
        ]


def side_by_side(widths: list[int]) -> int:
    """Return what columns take on a terminal, one beside the other."""
    return sum(widths) + 2 * max(len(widths) - 1, 0)


def terminal(text: Text, bold: bool = False, width: int | None = None) -> str:
    """Return aligned columns, the caption below; `bold` emphasises with the terminal's escape codes.

    A table that is wider than `width` is continued below, where its columns are alike (a matrix).
    """
    if width is not None and text.headers and text.width > width:
        parts = [terminal(part, bold) for part in text.parts(width)]
        last = terminal(replace(text, headers=[], rows=[]), bold, width)
        return "\n\n".join(filter(None, (*parts, last)))
    body = ""
    if text.headers:
        rows = text.emphasised(in_one_line, lambda entry: f"{BOLD}{entry}{PLAIN}" if bold else entry)
        headers = list(map(in_one_line, text.headers))
        body = tabulate(rows, headers, "simple", disable_numparse=True, colalign=_aligned(text))
    caption = on_terminal(text.full_caption if bold else text.caption)
    said = textwrap.fill(caption, min(width or WIDTH, WIDTH))
    return "\n\n".join(filter(None, (body, said)))


def markdown(text: Text) -> str:
    """Return a pipe table, the caption as a paragraph below."""
    rows = text.emphasised(in_markdown, lambda entry: f"**{entry}**")
    headers = list(map(in_markdown, text.headers))
    body = ""
    if headers:
        body = tabulate(rows, headers, "pipe", disable_numparse=True, colalign=_aligned(text))
    return "\n\n".join(filter(None, (body, in_markdown(text.full_caption))))


def latex(text: Text) -> str:
    """Return a booktabs tabular, the caption as comment lines below."""
    said = [f"% {line}" for line in textwrap.wrap(in_one_line(text.full_caption), WIDTH - 2)]
    if not text.headers:
        return "\n".join(said)
    rows = text.emphasised(in_latex, lambda entry: f"\\textbf{{{entry}}}")
    columns = "".join("r" if numeric else "l" for numeric in text.numeric)
    lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule", _latex_row(map(in_latex, text.headers))]
    lines += ["\\midrule", *map(_latex_row, rows), "\\bottomrule", "\\end{tabular}"]
    return "\n".join(lines + said)


def html(text: Text) -> str:
    """Return a table element, the caption in a paragraph below."""
    rows = text.emphasised(_in_html, lambda entry: f"<strong>{entry}</strong>")
    said = f"<p>{_in_html(text.full_caption)}</p>" if text.full_caption else ""
    if not text.headers:
        return said
    kinds = [' class="number"' if numeric else "" for numeric in text.numeric]
    head = "".join(f"<th{kind}>{_in_html(name)}</th>" for kind, name in zip(kinds, text.headers, strict=True))
    body = [
        "<tr>" + "".join(f"<td{kind}>{entry}</td>" for kind, entry in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    ]
    lines = ["<table>", f"<thead><tr>{head}</tr></thead>", "<tbody>", *body, "</tbody>", "</table>"]
    return "\n".join([*lines, said] if said else lines)


WRITERS: Mapping[str, Callable[[Text], str]] = MappingProxyType(
    {"table": terminal, "md": markdown, "latex": latex, "html": html}
)
_TITLES: Mapping[str, tuple[str, Callable[[str], str]]] = MappingProxyType({
    "table": ("{}:", in_one_line), "md": ("### {}", in_markdown), "latex": ("% {}", in_one_line),
    "html": ("<h3>{}</h3>", _in_html),
})  # fmt: skip


def titled(title: str, format_: str) -> str:
    """Return the title of a section as `format_` writes it."""
    form, harmless = _TITLES[format_]
    return form.format(harmless(title))


def _aligned(text: Text) -> list[str]:
    return ["right" if numeric else "left" for numeric in text.numeric]


def _latex_row(entries: Iterable[str]) -> str:
    return " & ".join(entries) + r" \\"
