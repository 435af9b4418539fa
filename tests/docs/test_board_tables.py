"""The tables of the standard suite in README and docs/leaderboard.md, made from the committed smoke tier."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from robustbench_fl.store import Store
from robustbench_fl.sweep.suites import read_suite

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "results" / "rbfl-1-smoke"
MADE = runpy.run_path(str(ROOT / "docs" / "board_tables.py"))
BLOCK = "a0.1-m0.3"


def boards_in(folder: Path) -> Any:
    """Return the boards of the smoke tier with results in a folder."""
    suite = read_suite("rbfl-1")
    return MADE["Boards"](suite, suite.tier("smoke"), folder, "centered_clipping")


@pytest.fixture(scope="module")
def whole() -> Any:
    return boards_in(SMOKE)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give the boards of a folder in which the second main block has a plan alone."""
    folder = tmp_path_factory.mktemp("tier")
    shutil.copytree(SMOKE / BLOCK, folder / BLOCK)
    (folder / "a1-m0.3").mkdir()
    for name in ("sweep.toml", "plan.jsonl.gz"):
        shutil.copy(SMOKE / "a1-m0.3" / name, folder / "a1-m0.3")
    return boards_in(folder)


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    """Give rule, attack, seed and accuracy of each cell of the first block."""
    records = Store.existing(SMOKE / BLOCK).records()
    rows = [
        {**record["labels"], "seed": record["cell"]["seed"], "accuracy": record["metrics"]["accuracy"]}
        for record in records
    ]
    return pd.DataFrame(rows)


def rows_of(table: str) -> list[list[str]]:
    """Return the entries of a table's rows, without its header."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[entry.strip() for entry in line.strip("|").split("|")] for line in lines[2:]]


def test_the_extent_says_which_main_blocks_are_in(whole: Any, first: Any) -> None:
    assert "main blocks `a0.1-m0.3`, `a1-m0.3`, " in MADE["extent"](whole)
    assert "Still to run" not in MADE["extent"](whole)
    said = " ".join(MADE["extent"](first).split())
    assert "main block `a0.1-m0.3`, 150 cells, 3 seeds. Still to run: `a1-m0.3`; until then" in said


def test_without_a_whole_main_block_there_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"No main block of rbfl-1-smoke has all its cells in .*suite run"):
        boards_in(tmp_path)


def test_the_readme_shows_the_first_of_each_track_and_the_flags(whole: Any, first: Any) -> None:
    text = MADE["readme"](whole)
    assert [row[1] for row in rows_of(text) if row[0] == "B"] == [
        "nnm > trimmed_mean",
        "trimmed_mean",
        "krum",
    ]
    assert [row[1] for row in rows_of(text) if not row[0]] == ["oracle_mean", "root_only", "local_only"]
    assert "* Few seeds (3): only large differences are seen. Run 10." in text
    assert max(map(len, text.split("\n\n", 1)[1].splitlines())) < 119
    assert "Still to run: `a1-m0.3`" in MADE["readme"](first)
    assert text.split("\n\n")[0] in MADE["board"](whole)  # nothing is left out of ten rules


def test_leaders_are_those_of_the_cells(whole: Any, cells: pd.DataFrame) -> None:
    rows = rows_of(MADE["leaders"](whole))
    assert [row[:2] for row in rows[3:5]] == [[BLOCK, "D"], ["a1-m0.3", "A"]]
    means = cells[cells["attack"] != "none"].groupby(["aggregator", "attack"])["accuracy"].mean()
    worst = means.groupby("aggregator").min()
    assert rows[0][2].startswith(f"median {100 * worst['median']:.1f} [")
    assert rows[0][4].startswith(f"mean {100 * worst['mean']:.1f} [")
    assert rows[3][2] == "none: fltrust is not above root_only"
    assert rows[0][5] == f"{100 * worst['oracle_mean']:.1f}"


def test_losses_are_paired_differences_at_each_rules_worst_member(first: Any, cells: pd.DataFrame) -> None:
    (row,) = (row for row in rows_of(MADE["losses"](first)) if row[1] == "mpaf")
    of_family = cells[cells["attack"].str.startswith("mpaf")]
    by_seed = {}
    for rule in ("centered_clipping", "nnm > trimmed_mean"):
        own = of_family[of_family["aggregator"] == rule].pivot(
            index="attack", columns="seed", values="accuracy"
        )
        by_seed[rule] = own.loc[own.mean(axis=1).idxmin()].to_numpy()
    gap = 100 * (by_seed["centered_clipping"] - by_seed["nnm > trimmed_mean"])
    reach = 4.302653 * gap.std(ddof=1) / np.sqrt(3)
    assert row[2] == f"{100 * by_seed['centered_clipping'].mean():.1f}"
    assert row[5] == f"nnm > trimmed_mean {100 * by_seed['nnm > trimmed_mean'].mean():.1f}"
    assert row[6] == f"{gap.mean():+.1f} [{gap.mean() - reach:.1f}, {gap.mean() + reach:.1f}]"


def test_attacks_share_all_pairs_of_rule_and_block(first: Any, cells: pd.DataFrame) -> None:
    rows = rows_of(MADE["attacks"](first))
    assert {row[1].split(" of ")[1] for row in rows} == {"7"}
    assert sum(float(row[1].split(" of ")[0]) for row in rows) == pytest.approx(7)
    means = cells.groupby(["aggregator", "attack"])["accuracy"].mean()["mean"]
    (ipm,) = (row for row in rows if row[0] == "ipm")
    assert ipm[4] == f"{100 * (means['none'] - means[means.index.str.startswith('ipm')].min()):.1f}"


def test_digits_stand_at_the_blocks_that_are_in(first: Any) -> None:
    rows = {row[1]: row for row in rows_of(MADE["digits"](first))}
    assert set(rows) == {"median", "mean", "nnm > trimmed_mean", "trimmed_mean", "krum", "centered_clipping",
                         "fltrust"}  # fmt: skip
    kept = pd.read_csv(ROOT / "results" / "reference-digits" / "cells.csv")
    kept = kept[(kept["partition"] == "balanced_dirichlet(alpha=0.1)") & (kept["malicious"] == 0.3)]
    kept = kept[(kept["aggregator"] == "median") & (kept["attack"] != "none") & ~kept["adaptive"]]
    worst = kept.groupby("attack")["accuracy"].mean().min()
    assert rows["median"][3].startswith(f"{100 * worst:.1f} [")


def test_a_page_must_hold_each_marker_once(first: Any) -> None:
    made = MADE["page"]("<!-- flags -->\nold\n<!-- /flags -->\n", ["flags"], first)
    assert made == f"<!-- flags -->\n{MADE['flags'](first)}\n<!-- /flags -->\n"
    with pytest.raises(SystemExit, match="'flags' once, found 0"):
        MADE["page"]("nothing", ["flags"], first)


@pytest.fixture(scope="module")
def committed() -> Any:
    return MADE["committed"]()


@pytest.mark.parametrize("page", MADE["PAGES"])
def test_the_pages_show_what_the_committed_cells_give(committed: Any, page: str) -> None:
    text = (ROOT / page).read_text()
    assert MADE["page"](text, MADE["PAGES"][page], committed) == text
