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


LEFT_OUT_HEAD = """## Left out

Methods that were looked for and are not here, since what could be read does not establish them, or this
engine cannot hold them honestly."""
LEFT_OUT = {
    "dpot": (
        "(Zhang, Gong and Reiter, 2024) Its abstract and reviews could be read, its algorithms and a "
        "release could not: nothing says how many pixels are chosen, nor by which loss. `a3fl` learns its "
        "trigger too, at a fixed place."
    ),
    "iba": (
        "(Nguyen et al., NeurIPS 2023; `github.com/sail-research/iba` at 69a5139) Its trigger is a network "
        "made for one image size, trained in two phases between which the success on the test set decides. "
        "`Stamp` can carry such a trigger; networks for other sizes, and the switch, would be this "
        "project's."
    ),
    "backdoor_indicator": (
        "(Li and Dai, USENIX Security 2024; `github.com/ybdai7/Backdoor-indicator-defense` at 04dec87) The "
        "server trains the model on foreign images before it sends it, and keeps the statistics of batch "
        "normalisation apart. Networks here keep no such statistics, and no rule changes the model that is "
        "sent."
    ),
    "flshield": (
        "(Kabir et al., IEEE S&P 2024; `github.com/ehsanul9511/FLShield` at afe4474) Clients validate each "
        "other's models on their own data and report class by class; malicious ones lie as the paper "
        "defines. Rounds here have one message a client, and a rule that read the clients' data would see "
        "what no server sees."
    ),
}


def page() -> str:
    """Return the page, from the docstrings of all rules and attacks."""
    parts = [HEAD]
    for kind in KINDS:
        parts += [f"## {kind.capitalize()}", *map(_note, built_in(kind))]
    parts += [LEFT_OUT_HEAD, "\n".join(_bullet(f"**{name}** {text}") for name, text in LEFT_OUT.items())]
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
