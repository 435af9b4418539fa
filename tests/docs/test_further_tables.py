"""The tables of the further blocks in docs/blocks.md; by hand from the committed smoke tier and cells."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from robustbench_fl.store import Store
from robustbench_fl.sweep.suites import read_suite

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "results" / "rbfl-1-smoke"
MADE = runpy.run_path(str(ROOT / "docs" / "further_tables.py"))


def rows_of(table: str) -> dict[str, list[str]]:
    """Return the entries of a table's rows by the rule."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    rows = [[entry.strip() for entry in line.strip("|").split("|")] for line in lines[2:]]
    return {row[0]: row[1:] for row in rows}


def accuracies(folder: Path, rule: str) -> pd.DataFrame:
    """Return a rule's accuracies, attacks by seeds."""
    cells = [
        {**record["labels"], "seed": record["cell"]["seed"], "accuracy": record["metrics"]["accuracy"]}
        for record in Store.existing(folder).records()
    ]
    own = pd.DataFrame([cell for cell in cells if cell["aggregator"] == rule])
    return own.pivot(index="attack", columns="seed", values="accuracy")


def test_a_changed_block_stands_beside_the_same_attacks_of_its_main_block() -> None:
    further = MADE["Further"](read_suite("rbfl-1").tier("smoke"), SMOKE)
    row = rows_of(MADE["changed"](further, "half-f"))["trimmed_mean"]
    here = accuracies(SMOKE / "half-f", "trimmed_mean")
    there = accuracies(SMOKE / "a0.1-m0.3", "trimmed_mean").loc[here.index]
    assert row[:2] == [f"{100 * side.loc['none'].mean():.1f}" for side in (there, here)]
    at_worst = []
    for side in (there, here):
        attacked = side.drop("none")
        at_worst.append(attacked.loc[attacked.mean(axis=1).idxmin()])
    assert [row[2].split()[0], row[3].split()[0]] == [f"{100 * one.mean():.1f}" for one in at_worst]
    gap = 100 * (at_worst[1] - at_worst[0])
    reach = 4.302653 * gap.std(ddof=1) / np.sqrt(3)
    assert row[4] == f"{gap.mean():+.1f} [{gap.mean() - reach:.1f}, {gap.mean() + reach:.1f}]"
    assert row[5] == at_worst[1].name


def test_a_block_with_missing_cells_is_not_shown(tmp_path: Path) -> None:
    further = MADE["Further"](read_suite("rbfl-1").tier("cpu"), tmp_path)
    text = "".join(f"<!-- {name} -->\nold\n<!-- /{name} -->\n" for name in [*MADE["CHANGED"], *MADE["ASKED"]])
    assert MADE["page"](text, further) == text.replace("old", MADE["NOT_RUN"])


@pytest.fixture(scope="module")
def committed() -> Any:
    return MADE["committed"]()


def test_the_page_shows_what_the_committed_cells_give(committed: Any) -> None:
    text = MADE["PAGE"].read_text()
    assert MADE["page"](text, committed) == text
