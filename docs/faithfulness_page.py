"""Write the page on what every rule and attack was compared with: ``python docs/faithfulness_page.py``."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from textwrap import fill

from robustbench_fl.api import registry
from robustbench_fl.api.faithfulness import LABELS, faithfulness
from robustbench_fl.api.references import references
from robustbench_fl.api.registry import Entry

PAGE = Path(__file__).parent / "faithfulness.md"
KINDS = ("aggregators", "attacks")
HEAD = """# Faithfulness

How far every rule and attack is what its paper or its authors' code says: what was read, what was compared,
the largest difference, and what is done otherwise on purpose. Made from the section Faithfulness of each
method's docstring by `make faithfulness`; where nothing was compared the note says so.

*In the review* stands for one comparison, number by number, with independent transcriptions of the papers or
with released code: n = 20 clients, f = 4, about 600 parameters, six scenes (IID, identical colluders,
colluders near the mean, 20 times scaled, small identical colluders, clustered clients). *With ByzFL, numbers*
stands for `benchmarks/parity.py`, *with the release, numbers* for `benchmarks/releases.py`, which runs the
authors' code. Commits are those that were read."""


def page() -> str:
    """Return the page, from the docstrings of all rules and attacks."""
    parts = [HEAD]
    for kind in KINDS:
        parts += [f"## {kind.capitalize()}", *map(_note, built_in(kind))]
    return "\n\n".join(parts) + "\n"


def built_in(kind: str) -> list[Entry]:
    """Return the methods of one kind that are the project's own files, and no plug-in's."""
    package = registry.PACKAGES[kind]
    return [entry for entry in registry.load_all(kind) if entry.cls.__module__.startswith(f"{package}.")]


def _note(entry: Entry) -> str:
    papers = references(entry.cls)
    paper = f"{papers[0].title}, {papers[0].venue} {papers[0].year}" if papers else "this project's own"
    lines = [f"### {entry.name}", fill(f"{paper} (version {entry.version} here).", 118)]
    note = faithfulness(entry.cls)
    if note is None:
        return "\n\n".join([*lines, "No note: nothing is claimed."])
    told = [(LABELS[field.name], getattr(note, field.name)) for field in fields(note)]
    return "\n\n".join(
        [*lines, "\n".join(_bullet(f"**{label}**: {_markdown(text)}") for label, text in told if text)]
    )


def _bullet(text: str) -> str:
    return fill(
        text, 118, initial_indent="* ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _markdown(text: str) -> str:
    return re.sub(r"``([^`]+)``", r"`\1`", text).replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page())
