"""The catalogue: complete for every method, and current in docs/."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from robustbench_fl.api import params, registry
from robustbench_fl.cli import catalogue
from robustbench_fl.cli.main import cli

ROOT = Path(__file__).parents[2]
EVERY = [(kind, name) for kind in registry.PACKAGES for name in registry.names(kind)]


def said(*arguments: str) -> str:
    result = CliRunner().invoke(cli, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("kind", registry.PACKAGES)
def test_every_method_states_its_source_and_cost(kind: str) -> None:
    for row in catalogue.method_rows(kind):
        wanted = {"name", "paper", "year", "bibtex", "does"} | ({"cost"} & set(row))
        assert all(row[column] for column in wanted), row
        assert 1950 < row["year"] < 2100
        # A paper is an author and the year; what is the project's own says so.
        assert row["paper"] == registry.OWN or row["paper"].endswith(str(row["year"])), row
        assert row["does"].endswith("."), row


def test_every_aggregator_and_attack_has_a_cost() -> None:
    for kind in ("aggregators", "attacks"):
        assert all(row["cost"] for row in catalogue.method_rows(kind))


def test_what_nobody_else_published_has_no_paper() -> None:
    own = {name for kind, name in EVERY if registry.entry(kind, name).paper == registry.OWN}
    assert own == {
        "adaptive_fedredefense", "class_sum_test", "hf", "image_folder", "local_only", "non_finite", "npz",
        "oracle_mean", "root_only", "synthetic",
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_describe_shows_every_parameter_and_the_reference(kind: str, name: str) -> None:
    text = said("describe", name)
    entry = registry.entry(kind, name)
    assert entry.paper == registry.OWN or "References\n" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    for parameter in params.parameters(entry.cls):
        for fact in (parameter.type, parameter.range, parameter.default):
            assert fact in rows[parameter.name]


@pytest.mark.parametrize(("alias", "name"), [("little_is_enough", "alie"), ("logreg", "logistic")])
def test_describe_takes_what_sweeps_take(alias: str, name: str) -> None:
    assert said("describe", alias) == said("describe", name)


def test_the_committed_catalogue_is_current() -> None:
    committed = (ROOT / "docs" / "catalogue.md").read_text()
    assert committed == said("list", "--format", "md"), "run make catalogue"


def test_groups_are_listed() -> None:
    assert "@needs-nothing" in said("list", "aggregators", "--groups")
    assert "@needs-nothing" not in said("list", "attacks", "--groups")
    assert "chameleon, dba, edge_case" in said("list", "--groups")


def test_the_short_list_of_everything_keeps_kinds_apart() -> None:
    lines = said("list", "--format", "csv").splitlines()
    assert lines[0] == "kind,name,paper,year,does"
    assert {line.split(",")[0] for line in lines[1:]} == set(registry.PACKAGES)
    assert len(lines) == 1 + len(EVERY)
