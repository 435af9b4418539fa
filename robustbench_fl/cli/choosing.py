"""The flags that choose cells of a plan: ``--only``, ``--exclude``, ``--shard``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from robustbench_fl.sweep.choice import Choice

F = TypeVar("F", bound=Callable[..., Any])


def choice_options(function: F) -> F:
    """Add ``--only``, ``--exclude`` and ``--shard`` to a command."""
    options = [
        click.option(
            "--only",
            multiple=True,
            metavar="EXPR",
            help="Take these cells only: terms that must all hold, such as "
            "\"aggregator=krum|'nnm > *' attack!=none seed=0..2 malicious>=0.2\". "
            "* and ? are wildcards; a name without parameters means any. May be repeated: any of them.",
        ),
        click.option(
            "--exclude", multiple=True, metavar="EXPR", help="Leave these cells out; may be repeated."
        ),
        click.option(
            "--shard",
            metavar="I/N",
            help="Take the I-th of N equal parts, for job arrays. All parts give the whole, each cell once.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def choice_of(flags: dict[str, Any]) -> Choice:
    """Return what the flags choose.

    Raises
    ------
    UsageError
        If an expression or a shard cannot be read.
    """
    from robustbench_fl.sweep.choice import Choice, Shard
    from robustbench_fl.sweep.selection_text import parse

    return Choice(
        only=tuple(parse(text, "--only") for text in flags["only"]),
        exclude=tuple(parse(text, "--exclude") for text in flags["exclude"]),
        shard=Shard.parse(flags["shard"]) if flags["shard"] else None,
    )
