"""Put the results of the reduced published experiment into its page: ``python docs/paper_tables.py``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from marked import with_made

from robustbench_fl.analysis.frame import frame
from robustbench_fl.store import Store

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "paper.md"
FOLDERS = (
    "paper-fashion_mnist-small",
    "paper-fashion_mnist-small-lr",
    "paper-cifar10-small",
    "paper-cifar10-small-lr",
)
"""Folders under ``results/``; the page has a marker of that name for each."""


def table(cells: pd.DataFrame) -> str:
    """Return accuracy in %, mean over seeds, by rule and attack; TPR / FPR of detectors beneath it."""
    wide = {
        name: 100 * cells.pivot_table(index="aggregator", columns="attack", values=name, sort=False)
        for name in ("accuracy", "tpr", "fpr", "attack_success")
    }
    attacks = list(dict.fromkeys(cells.attack))
    lines = ["| rule | " + " | ".join(attacks) + " |", "|---|" + "---|" * len(attacks)]
    for rule in dict.fromkeys(cells.aggregator):
        entries = [_entry(wide, rule, attack) for attack in attacks]
        lines.append(f"| {rule} | " + " | ".join(entries) + " |")
    return "\n".join(lines)


def _entry(wide: dict[str, pd.DataFrame], rule: str, attack: str) -> str:
    accuracy = _value(wide["accuracy"], rule, attack)
    if accuracy is None:
        return "–"
    parts = [f"{accuracy:.1f}"]
    success, tpr, fpr = (_value(wide[name], rule, attack) for name in ("attack_success", "tpr", "fpr"))
    if success is not None:
        parts.append(f"success {success:.0f}")
    if fpr is not None:
        parts.append(f"TPR {tpr:.0f}, FPR {fpr:.0f}" if tpr is not None else f"FPR {fpr:.0f}")
    return parts[0] + (f" ({'; '.join(parts[1:])})" if len(parts) > 1 else "")


def _value(wide: pd.DataFrame, rule: str, attack: str) -> float | None:
    if rule not in wide.index or attack not in wide.columns or pd.isna(wide.loc[rule, attack]):
        return None
    return float(wide.loc[rule, attack])


def page(text: str) -> str:
    """Return the page's `text` with every marked table made anew from the committed cells."""
    tables = {}
    for folder in FOLDERS:
        cells = frame(Store.existing(ROOT / "results" / folder).records())
        tables[folder] = table(cells[cells.status.isin(["done", "diverged"])])
    return with_made(text, tables, PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
