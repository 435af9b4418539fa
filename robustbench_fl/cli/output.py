"""Printing: rows in the formats that every listing offers, and colour on terminals that show it."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.report.canvas import Format

FORMATS = ("table", "md", "csv", "latex", "json")


format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How to print.",
)


def print_rows(rows: Sequence[Mapping[str, Any]], format_: str) -> None:
    """Print `rows`, all with the same keys."""
    click.echo(rows_text(rows, format_))


def rows_text(rows: Sequence[Mapping[str, Any]], format_: str) -> str:
    """Return `rows` as an aligned table, a Markdown table, CSV, a LaTeX tabular or a JSON array."""
    if format_ == "json":
        return json.dumps([dict(row) for row in rows], indent=2)
    header = list(rows[0]) if rows else []
    if format_ == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows([{k: _flat(v, "r") for k, v in row.items()} for row in rows])
        return out.getvalue().rstrip("\n")
    from tabulate import tabulate

    body = [[_flat(value, "g") for value in row.values()] for row in rows]
    if format_ == "latex":
        from robustbench_fl.report.text import Text, latex

        return latex(Text(header, body, [False] * len(header))) if header else ""
    if format_ == "md":
        body = [[value.replace("|", "\\|").replace("\n", " ") for value in line] for line in body]
    style = "github" if format_ == "md" else "simple"
    text: str = tabulate(body, header, tablefmt=style, disable_numparse=True)
    return text


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
