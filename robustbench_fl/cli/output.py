"""Printing: rows in the formats that every listing offers, and colour on terminals that show it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from robustbench_fl.cli.saying import say
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.foreign import in_csv, in_markdown, on_terminal

if TYPE_CHECKING:
    from robustbench_fl.report.canvas import Format

FORMATS = ("table", "md", "csv", "latex", "html", "json")
_WIDE = "robustbench_fl.wide"
_LEAST_FIRST = ("bibtex", "year", "cost", "paper", "family", "knows_defence", "knows", "source", "unit")
"""Columns of listings that a narrow terminal leaves out, the least important first."""
_NARROWEST = 24
"""A column of sentences is broken into lines of at least so many characters before one is left out."""


def _note_wide(context: click.Context, parameter: click.Parameter, wide: bool) -> None:
    context.meta[_WIDE] = wide


def format_option(command: Any) -> Any:
    """Add ``--format`` and ``--wide`` to a command; it gets ``format_``, and :func:`terminal_width` knows."""
    wide = click.option("--wide", is_flag=True, expose_value=False, callback=_note_wide,
                        help="Show all columns, however narrow the terminal is.")  # fmt: skip
    kind = click.option("--format", "format_", type=click.Choice(FORMATS), default="table",
                        show_default=True, help="How to print.")  # fmt: skip
    return kind(wide(command))


def is_wide() -> bool:
    """Whether all columns were asked for with ``--wide``."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_WIDE))


def terminal_width() -> int | None:
    """Return how many columns the terminal has; None where output is no terminal, or ``--wide`` is given."""
    if is_wide() or not (sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()):
        return None
    return max(shutil.get_terminal_size().columns, 40)


def print_rows(rows: Sequence[Mapping[str, Any]], format_: str) -> None:
    """Print `rows`, all with the same keys."""
    say(rows_text(rows, format_))


def rows_text(rows: Sequence[Mapping[str, Any]], format_: str) -> str:
    """Return `rows` as an aligned table, Markdown, CSV, a LaTeX tabular, an HTML table or a JSON array."""
    if format_ == "json":
        return json.dumps([dict(row) for row in rows], indent=2)
    header = list(rows[0]) if rows else []
    if format_ == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows([{k: in_csv(_flat(v, "r")) for k, v in row.items()} for row in rows])
        return out.getvalue().rstrip("\n")
    from tabulate import tabulate

    body = [[_flat(value, "g") for value in row.values()] for row in rows]
    if format_ in ("latex", "html"):
        from robustbench_fl.report.text import WRITERS, Text

        return WRITERS[format_](Text(header, body, [False] * len(header))) if header else ""
    body = [[on_terminal(value) for value in line] for line in body]
    if format_ == "table" and header and (width := terminal_width()):
        return _narrow(header, body, width)
    if format_ == "md":
        body = [[in_markdown(value) for value in line] for line in body]
    style = "github" if format_ == "md" else "simple"
    text: str = tabulate(body, header, tablefmt=style, disable_numparse=True)
    return text


def _narrow(header: list[str], body: list[list[str]], width: int) -> str:
    """Return a table that fits `width`: columns go, the least important first, then sentences are broken."""
    from tabulate import tabulate

    columns = dict(zip(header, zip(*body, strict=True), strict=True)) if body else dict.fromkeys(header, ())
    lengths = {name: max([len(name) + 2, *map(len, entries)]) for name, entries in columns.items()}
    longest = max(lengths, key=lambda name: lengths[name])
    dropped = []

    def others() -> int:
        return sum(n for name, n in lengths.items() if name != longest) + 2 * (len(lengths) - 1)

    for name in _LEAST_FIRST:
        if others() + min(lengths[longest], _NARROWEST) <= width:
            break
        if name in lengths and name != longest:
            dropped.append(name)
            del lengths[name]
    room = max(width - others(), _NARROWEST)
    shown = {
        name: [textwrap.fill(entry, room) if name == longest else entry for entry in columns[name]]
        for name in lengths
    }
    text: str = tabulate(
        list(zip(*shown.values(), strict=True)), list(shown), "simple", disable_numparse=True
    )
    names = ", ".join(name for name in header if name in dropped)
    return f"{text}\n\nNo room for: {names}. All columns: --wide." if dropped else text


def _flat(value: Any, digits: str) -> str:
    """Return a value for one field: six digits (``"g"``) for people, all of them (``"r"``) for CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        nothing = "–" if digits == "g" else ""
        return ", ".join(_flat(item, digits) for item in value) or nothing
    if isinstance(value, float):
        return f"{value:g}" if digits == "g" else repr(value)
    return str(value)


def figure_format(path: Path) -> Format:
    """Return the format of a figure that a file of this name holds.

    Raises
    ------
    UsageError
        If it is none that figures are drawn in.
    """
    formats: tuple[Format, ...] = ("png", "svg", "pdf")
    for known in formats:
        if path.suffix.lower() == f".{known}":
            return known
    raise UsageError(f"--figure must end in .png, .svg or .pdf, got {str(path)!r}.")


def shows_colour(stream: TextIO | None = None) -> bool:
    """Whether `stream`, by default standard output, is a terminal that shows colours.

    Never with ``NO_COLOR`` set (to anything), nor on a terminal that calls itself dumb.
    """
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and (stream or sys.stdout).isatty()


def error_text(text: str) -> str:
    """Return `text` for standard error, its first word (``Error:``) in red."""
    return _first_word(text, "red")


def warning_text(text: str) -> str:
    """Return `text` for standard error, its first word (``Warning:``) in yellow."""
    return _first_word(text, "yellow")


def _first_word(text: str, colour: str) -> str:
    if not shows_colour(sys.stderr):
        return text
    word, space, rest = text.partition(" ")
    return click.style(word, fg=colour, bold=True) + space + rest
