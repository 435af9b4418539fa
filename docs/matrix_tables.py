"""Put what stands out in the committed robustness matrix into its page: ``python docs/matrix_tables.py``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from marked import with_made

from robustbench_fl.analysis.frame import frame
from robustbench_fl.store import Store

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "matrix.md"
BLOCK = ["partition", "malicious"]
INEFFECTIVE = 0.02
"""A drop of plain averaging's accuracy that counts as none."""


def attacks(cells: pd.DataFrame) -> str:
    """Return what each attack does to plain averaging, block by block, in points."""
    mean = cells[cells.aggregator == "mean"]
    clean = mean[mean.attack == "none"].set_index(BLOCK).accuracy
    attacked = mean[mean.attack != "none"].pivot(index="attack", columns=BLOCK, values="accuracy")
    lost = 100 * (clean.reindex(attacked.columns) - attacked)
    success = mean.groupby("attack").attack_success.max()
    order = lost.max(axis=1).sort_values(ascending=False).index
    lines = _header(["attack", *(f"{_alpha(p)}, {m:g}" for p, m in lost.columns), "success, largest %"])
    for attack in order:
        cellwise = [f"{value:.1f}" for value in lost.loc[attack]]
        rate = success[attack]
        lines.append(_row([attack, *cellwise, "–" if pd.isna(rate) else f"{100 * rate:.0f}"]))
    return "\n".join(lines)


def rules(cells: pd.DataFrame) -> str:
    """Return how each rule does without attack, how far it is from plain averaging, and where it is worse."""
    wide = cells.pivot(index=[*BLOCK, "attack"], columns="aggregator", values="accuracy")
    gap = wide.sub(wide["mean"], axis=0)
    effective = gap.index[
        [wide["mean"][(p, m, "none")] - wide["mean"][(p, m, a)] >= INEFFECTIVE for p, m, a in gap.index]
    ]
    kept = cells.groupby("aggregator").kept_model_rounds.max()
    lines = _header(
        [
            "rule",
            "clean, alpha 0.1",
            "clean, alpha 1",
            "largest distance from mean",
            "cells in which it helps",
            "cells in which it harms",
            "worst harm",
            "rounds without a step, most",
        ]
    )
    for rule in dict.fromkeys(cells.aggregator):
        if rule == "mean":
            continue
        own = gap[rule].dropna()
        hurt = own.reindex(effective).dropna()
        harm = own[own <= -0.05]
        worst = f"{100 * own.min():.0f} ({own.idxmin()[2]})" if len(harm) else "–"
        clean = [wide[rule].xs("none", level="attack").xs(p, level=0).mean() for p in wide.index.levels[0]]
        lines.append(
            _row(
                [
                    rule,
                    *(f"{100 * c:.0f}" for c in clean),
                    f"{100 * own.abs().max():.0f}",
                    f"{int((hurt >= 0.05).sum())} of {len(hurt)}",
                    f"{len(harm)} of {len(own)}",
                    worst,
                    f"{kept[rule]:.0f}",
                ]
            )
        )
    return "\n".join(lines)


def adaptive(cells: pd.DataFrame) -> str:
    """Return accuracy under the attacks that are optimised against the rule, mean over the blocks."""
    wide = 100 * cells.pivot_table(index="aggregator", columns="attack", values="accuracy", sort=False)
    lines = _header(["rule", *wide.columns])
    lines += [_row([rule, *(f"{value:.1f}" for value in wide.loc[rule])]) for rule in wide.index]
    return "\n".join(lines)


def successes(cells: pd.DataFrame) -> str:
    """Return the largest success rate of each attack against each rule, over the blocks, in per cent."""
    wide = 100 * cells.pivot_table(
        index="aggregator", columns="attack", values="attack_success", aggfunc="max", sort=False
    )
    lines = _header(["rule", *wide.columns])
    lines += [_row([rule, *(f"{value:.0f}" for value in wide.loc[rule])]) for rule in wide.index]
    return "\n".join(lines)


TABLES: dict[str, tuple[str, Callable[[pd.DataFrame], str]]] = {
    "attacks": ("matrix-digits", attacks),
    "rules": ("matrix-digits", rules),
    "more_attacks": ("matrix-digits-more-attacks", attacks),
    "successes": ("matrix-digits-more-attacks", successes),
    "more_rules": ("matrix-digits-more-rules", rules),
    "adaptive": ("matrix-digits-adaptive", adaptive),
}
"""Per marker in the page: folder under ``results/`` and what makes the table of it."""


def _alpha(partition: str) -> str:
    found = re.search(r"alpha=([0-9.]+)", partition)
    return f"alpha {found[1]}" if found else partition


def _header(names: list[str]) -> list[str]:
    return [_row(names), "|" + "---|" * len(names)]


def _row(values: list[str]) -> str:
    return "| " + " | ".join(values) + " |"


def page(text: str) -> str:
    """Return the page's `text` with every marked table made anew from the committed cells."""
    tables = {}
    for marker, (folder, made) in TABLES.items():
        cells = frame(Store.existing(ROOT / "results" / folder).records())
        tables[marker] = made(cells[cells.status.isin(["done", "diverged"])])
    return with_made(text, tables, PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
