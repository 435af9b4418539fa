"""Put the reference sweep, read again, into its page: ``python docs/reference_tables.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from marked import with_made
from tuned_table import before_and_after
from written import by_number, table, worst_case

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.strengths import is_default
from robustbench_fl.core.picks import read_picks
from robustbench_fl.store import Store

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference.md"
PILOT = ROOT / "results" / "reference-digits-pilot"
FAMILIES = ("ipm", "mpaf")
BLOCK = {"partition": "balanced_dirichlet(alpha=0.1)", "malicious": 0.3}


def cells_of(folder: str) -> pd.DataFrame:
    """Return the cells of a committed sweep."""
    return frame(Store.existing(ROOT / "results" / folder).records())


def strengths(before: pd.DataFrame, after: pd.DataFrame) -> str:
    """Return each rule's worst case over all attacks and over two families, at defaults and as picked."""
    block = before[(before[list(BLOCK)] == pd.Series(BLOCK)).all(axis=1)]
    all_attacks = block[(block["attack"] != "none") & ~block["adaptive"]]
    names = [
        "rule",
        "clean",
        "worst client",
        "all attacks, defaults",
        "two families, defaults",
        "as picked",
        "worst strength",
    ]
    rows = []
    for rule, cells in after.groupby("aggregator", sort=False):
        attacked = cells[cells["attack"] != "none"]
        defaults = attacked[is_default(attacked.assign(_setting=0))]
        worst = attacked.groupby("attack")["accuracy"].mean()
        clean = 100 * cells.loc[cells["attack"] == "none", ["accuracy", "worst_client_accuracy"]].mean()
        own = all_attacks[all_attacks["aggregator"] == rule]
        rows.append(
            [
                rule,
                *("–" if np.isnan(value) else f"{value:.1f}" for value in clean),
                worst_case(own) if len(own) else "–",
                worst_case(defaults),
                worst_case(attacked),
                f"`{worst.idxmin()}`" if worst.max() - worst.min() > 0 else "–",
            ]
        )
    return table(names, by_number(rows, 5))


def picks() -> str:
    """Return what the pilot picked for each rule, beside the default."""
    rows = [
        [
            pick.aggregator,
            pick.family,
            f"`{pick.members[0].attack}`" + " (edge)" * pick.members[0].edge,
            f"{100 * pick.members[0].accuracy:.1f}",
            "–" if pick.default_accuracy is None else f"{100 * pick.default_accuracy:.1f}",
            str(len(pick.members)),
        ]
        for pick in read_picks(PILOT / "picks.json").picks
    ]
    return table(["rule", "family", "worst strength", "accuracy", "at the default", "run"], rows)


def wrong_f(cells: pd.DataFrame) -> str:
    """Return each rule's worst case by the f that the server assumes."""
    cells = cells[cells["participation"] == 1.0]
    rows = []
    for rule, own in cells[cells["assumed_f"].notna()].groupby("aggregator", sort=False):
        by = dict(iter(own[own["attack"] != "none"].groupby("assumed_f")))
        rows.append([rule, *(worst_case(by[name]) for name in ("0.5x", "exact", "2x"))])
    plain = cells[(cells["aggregator"] == "mean") & (cells["attack"] != "none")]
    rows.append(["mean", "–", worst_case(plain), "–"])
    return table(["rule", "half of f", "the true f", "twice f"], rows)


def participation(cells: pd.DataFrame, whole: pd.DataFrame) -> str:
    """Return each rule's worst case with all clients in every round and with 30 % of them."""
    few = cells[cells["participation"] == 0.3]
    block = whole[whole["attack"].isin(FAMILIES)]
    names = ["rule", "worst, all take part", "worst, 30 % take part", "worst client under that attack"]
    rows = []
    for rule, own in few.groupby("aggregator", sort=False):
        attacked = own[own["attack"] != "none"]
        means = attacked.groupby("attack")[["accuracy", "worst_client_accuracy"]].mean()
        client = 100 * means.loc[means["accuracy"].idxmin(), "worst_client_accuracy"]
        rows.append(
            [rule, worst_case(block[block["aggregator"] == rule]), worst_case(attacked), f"{client:.1f}"]
        )
    return table(names, by_number(rows, 2))


def page(text: str) -> str:
    """Return the page's `text` with its tables made anew from the committed cells."""
    before, picked, further = map(
        cells_of, ("reference-digits", "reference-digits-pilot", "reference-digits-f")
    )
    made = {
        "strengths": strengths(before, picked),
        "picks": picks(),
        "tuned": before_and_after(
            cells_of("reference-digits-tuned"), ROOT / "results" / "reference-digits-tuned" / "tuned.json"
        ),
        "f": wrong_f(further),
        "participation": participation(further, picked),
    }
    return with_made(text, made, PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
