"""Every method's papers are read from its docstring, and their BibTeX is whole."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from robustbench_fl.api import registry
from robustbench_fl.api.references import PROJECT, Reference, bibtex, references
from robustbench_fl.cli.main import cli

METHODS = [entry for kind in registry.PACKAGES for entry in registry.load_all(kind)]


@pytest.mark.parametrize("entry", METHODS, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_the_first_paper_of_a_method_is_the_one_it_is_registered_with(entry: registry.Entry) -> None:
    if entry.paper == registry.OWN:
        return
    own, year = references(entry.cls)[0], entry.year
    surname = entry.paper.removesuffix(f" {year}")
    assert own.year == year
    assert own.authors[0].endswith(surname), own


def test_one_key_is_one_paper() -> None:
    papers: dict[str, set[tuple[str, str]]] = {}
    for entry in METHODS:
        for paper in references(entry.cls):
            papers.setdefault(paper.key, set()).add((paper.title, paper.venue))
    assert {key: found for key, found in papers.items() if len(found) > 1} == {}


def test_an_entry_by_hand() -> None:
    class Documented:
        """Does things.

        References
        ----------
        .. [1] E. M. El Mhamdi, A.-R. Sadeghi et al., "On the Hidden Things:
           a Study", arXiv:1909.06335, 2019, Section 4.
        """

    (paper,) = references(Documented)
    assert paper == Reference(
        ("E. M. El Mhamdi", "A.-R. Sadeghi", "others"),
        "On the Hidden Things: a Study",
        "arXiv:1909.06335",
        2019,
    )
    assert paper.bibtex().splitlines() == [
        "@misc{elmhamdi2019hidden,",
        "  author       = {El Mhamdi, E. M. and Sadeghi, A.-R. and others},",
        "  title        = {{On the Hidden Things: a Study}},",
        "  howpublished = {arXiv:1909.06335},",
        "  year         = {2019},",
        "}",
    ]


@pytest.mark.parametrize("entry", METHODS, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_braces_of_an_entry_are_balanced(entry: registry.Entry) -> None:
    text = bibtex(entry.cls)
    assert text.count("{") == text.count("}")
    assert re.match(r"@[a-z]+\{[a-z_]+[0-9a-z]*,\n", text)


def test_describe_prints_them() -> None:
    shown = CliRunner().invoke(cli, ["describe", "oracle_mean", "--bibtex"])
    assert shown.output.strip() == PROJECT
    shown = CliRunner().invoke(cli, ["describe", "fedredefense", "--bibtex"])
    assert [line for line in shown.output.splitlines() if line.startswith("@")] == [
        "@inproceedings{xie2024fedredefense,",
        "@inproceedings{cazenavette2022dataset,",
        "@inproceedings{pi2023dynafed,",
    ]
