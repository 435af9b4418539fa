"""Colour and bold type, on terminals that show them and for people who want them."""

from __future__ import annotations

import os
import sys
from typing import TextIO

import click


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
