"""The README shows what the committed cells give, and names commands that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from robustbench_fl.cli.main import cli
from robustbench_fl.store import Store
from robustbench_fl.sweep.config import make_sweep, read_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.execute import execute

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMITTED = sorted(path.parent for path in (ROOT / "results").glob("*/cells.jsonl.gz"))


def test_every_command_and_figure_the_readme_names_exists() -> None:
    for command in re.findall(r"robustbench-fl ([a-z]+)", README):
        assert command in cli.commands, command
    for figure in re.findall(r"\]\((results/[^)]+)\)", README):
        assert (ROOT / figure).is_file(), figure
    for option in set(re.findall(r"(?<=\s)--[a-z-]+", README)):
        known = {name for command in cli.commands.values() for p in command.params for name in p.opts}
        assert option in known | {"--help"}, option


WHOLE = [
    "quickstart", "reference-digits", "fedredefense-calibrated-adaptive", "fedredefense-calibrated-grid",
    "fedredefense-detection", "fedredefense-fashion_mnist", "fedredefense-sensitivity", "fedredefense-unseen",
    "paper-cifar10-small", "paper-cifar10-small-lr", "paper-fashion_mnist-small",
    "paper-fashion_mnist-small-lr",
]  # fmt: skip
"""Folders that hold all cells of the file in ``sweeps/`` of their name."""


def keys_planned(sweep: dict[str, Any]) -> set[str]:
    """Return the keys of a plan's cells."""
    return {planned.cell.key for planned in expand(make_sweep(sweep, {}))}


def keys_stored(folder: Path) -> set[str]:
    """Return the keys of a folder's cells."""
    return {record["key"] for record in Store.existing(folder).stored()}


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda path: path.name)
def test_a_committed_sweeps_plan_still_has_its_keys(folder: Path) -> None:
    assert keys_stored(folder) == keys_planned(dict(Store.existing(folder).read_sweep() or {}))


@pytest.mark.parametrize("name", WHOLE)
def test_a_committed_sweep_is_its_sweep_file(name: str) -> None:
    assert keys_planned(read_sweep(ROOT / "sweeps" / f"{name}.toml")) == keys_stored(ROOT / "results" / name)


def test_three_committed_cells_come_out_again() -> None:
    store = Store.existing(ROOT / "results" / "reference-digits")
    stored = {record["key"]: record for record in store.stored()}
    plan = expand(make_sweep(store.read_sweep() or {}, {}))
    for planned in (plan[7], plan[len(plan) // 2], plan[-2]):
        again = execute(planned, Environment(data_dir=ROOT / "none"))
        assert again.metrics is not None
        assert again.metrics.accuracy == pytest.approx(
            stored[planned.cell.key]["metrics"]["accuracy"], abs=1e-3
        )
