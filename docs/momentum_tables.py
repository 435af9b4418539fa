"""Put what worker momentum changes into its page: ``python docs/momentum_tables.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from marked import with_made

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.inference import mean_interval
from robustbench_fl.store import Store

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "momentum.md"
BASELINE = "oracle_mean"
ATTACKS = ["none", "ipm", "alie(z=1.5)", "sign_flip", "mimic"]


def worst(cells: pd.DataFrame) -> str:
    """Return each rule's worst attacked accuracy without and with momentum, and its place by it."""
    lowest = {beta: _lowest(cells, beta) for beta in (0.0, 0.9)}
    ranked = {beta: found.drop(BASELINE).rank(ascending=False) for beta, found in lowest.items()}
    lines = _header(
        ["rule", "worst, β = 0", "worst, β = 0.9", "gain, points", "place, β = 0", "place, β = 0.9"]
    )
    for rule in lowest[0.9].sort_values(ascending=False, kind="stable").index:
        places = ["–", "–"] if rule == BASELINE else [f"{ranked[beta][rule]:g}" for beta in (0.0, 0.9)]
        before, after = (100 * lowest[beta][rule] for beta in (0.0, 0.9))
        lines.append(_row([rule, f"{before:.1f}", f"{after:.1f}", f"{after - before:+.1f}", *places]))
    return "\n".join(lines)


def attacks(cells: pd.DataFrame) -> str:
    """Return the gain by momentum under each attack, mean over seeds with the 95 % t interval, in points."""
    wide = cells.pivot(index=["aggregator", "attack", "seed"], columns="worker_momentum", values="accuracy")
    gain = 100 * (wide[0.9] - wide[0.0])
    lines = _header(["rule", *ATTACKS])
    for rule in dict.fromkeys(cells.aggregator):
        shown = [_with_interval(gain[rule][attack].to_numpy()) for attack in ATTACKS]
        lines.append(_row([rule, *shown]))
    return "\n".join(lines)


def _lowest(cells: pd.DataFrame, beta: float) -> pd.Series:
    """Return the least mean over seeds of a rule's accuracy under an attack."""
    attacked = cells[(cells.worker_momentum == beta) & (cells.attack != "none")]
    return attacked.groupby(["aggregator", "attack"]).accuracy.mean().groupby("aggregator").min()


def _with_interval(values: np.ndarray) -> str:
    mean, low, high = mean_interval(values[None, None])
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _row(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"


def _header(names: list[str]) -> list[str]:
    return [_row(names), "|" + "---|" * len(names)]


def page(text: str) -> str:
    """Return the page's `text` with its tables made anew from the committed cells."""
    cells = frame(Store.existing(ROOT / "results" / "fedsgd-momentum").records())
    # A setting that came later enters a cell's identity only where it differs from its default.
    cells = cells.assign(worker_momentum=cells.worker_momentum.fillna(0.0))
    return with_made(text, {"worst": worst(cells), "attacks": attacks(cells)}, PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
