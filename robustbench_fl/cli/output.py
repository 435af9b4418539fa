"""Printing rows in the formats that every listing offers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

FORMATS = ("table", "md", "csv", "latex", "json")
F = TypeVar("F", bound=Callable[..., Any])


def format_option(function: F) -> F:
    """Add ``--format table|md|csv|latex|json`` to a command."""
    decorated: F = click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to print.",
    )(function)
    return decorated


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
