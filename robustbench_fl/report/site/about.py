"""What the pages of methods share: what is known of a method beside its results, and where its page lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.boards import Board
from robustbench_fl.core.tuned import untuned
from robustbench_fl.report.naming import safe
from robustbench_fl.report.site.elements import tag, text

ROOT = "../../../"
"""From the page of a method to the site's root."""


@dataclass(frozen=True)
class About:
    """What is known of a method beside its results.

    Parameters
    ----------
    summary : str
        A sentence.
    faithfulness : str
        Markdown; empty if nothing is said.
    bibtex : str
        Of its papers.
    address : str
        Of its own documentation, from the site's root.
    """

    summary: str
    faithfulness: str
    bibtex: str
    address: str


Known = Mapping[str, About]
"""By name."""


def attacks_of(board: Board) -> list[str]:
    """Return the names of attacks, without their parameters."""
    return sorted({name_of(attack) for attack in board.cells["attack"]} - {CLEAN})


def name_of(label: str) -> str:
    """Return the name of an attack without its parameters."""
    return untuned(label).split("(", 1)[0].strip()


def rule_page(board: Board, folder: str, rule: str) -> str | None:
    """Return where the page of a rule lies, if it has one."""
    return f"{folder}{safe(rule)}.html" if rule in board.claims else None


def attack_page(label: str, folder: str) -> str | None:
    """Return where the page of an attack lies, if it has one."""
    return None if label in ("", CLEAN) else f"{folder}{safe(name_of(label))}.html"


def summary(abouts: Known) -> str:
    """Return a sentence for each method, with a link to all that is said of it."""
    said = [f"{text(about.summary)} {tag('a', f'All of {text(name)}', href=ROOT + about.address)}."
            for name, about in abouts.items()]  # fmt: skip
    return "<br>".join(said)


def sources(abouts: Known) -> list[str]:
    """Return the papers of methods as sections."""
    return [f"```bibtex\n{about.bibtex}\n```" for about in abouts.values()]


def plain(label: str) -> str:
    """Return text for Markdown outside of tables: no emphasis, no tag, no link."""
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]<>#|" else mark for mark in text(label))
