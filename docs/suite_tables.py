"""Put the suite's extent and its convergence curve into their page: ``python docs/suite_tables.py``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from marked import with_made

from robustbench_fl.cli.durations import duration_text
from robustbench_fl.store import Store
from robustbench_fl.sweep.suites import Extent, read_suite, stored_at

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "suite.md"
SHOWN = {34: (10, 20, 30, 34, 60, 80, 120), 120: (50, 80, 100, 120, 200, 300, 600)}
"""Rounds that are shown, the last those of the longer run, by the rounds that the suite runs."""
WINDOW = 5
"""Evaluations that are averaged, as in every result."""


def blocks() -> str:
    """Return the blocks of each tier: cells and CPU time by the committed calibration, and what was run."""
    suite = read_suite("rbfl-1")
    names = [
        "tier",
        "block",
        "rules",
        "attacks",
        "cells, at most",
        "CPU time",
        "pilot cells",
        "CPU time",
        "run",
    ]
    lines = _header(names)
    for tier in suite.tiers:
        for block in tier.blocks:
            sweep = block.sweep()
            rules = len({rule for grid in sweep.grids for rule in grid.aggregator})
            attacks = len({attack for grid in sweep.grids for attack in grid.attack} - {"none"})
            numbers = [str(rules), str(attacks), *_extent(suite.extent(tier, block))]
            lines.append(_row([tier.name, block.name, *numbers, _run(stored_at(tier) / block.name)]))
        known = list(suite.times.tiers.get(tier.name, {}).values())
        total = {name: sum(getattr(one, name) for one in known) for name in Extent.model_fields}
        lines.append(
            _row([f"**{tier.name}**", "all", "", "", *_extent(Extent(**total) if known else None), ""])
        )
    return "\n".join(lines)


def convergence() -> str:
    """Return the accuracy of plain averaging by round, mean over seeds, and how far the suite's end is."""
    parts = []
    for stop, rounds in SHOWN.items():
        lines = _header(["world", *(str(one) for one in rounds), f"missing at {stop}, points"])
        for world, curve in _curves(rounds[-1]).items():
            values = [100 * curve.rolling(WINDOW).mean()[one] for one in rounds]
            short = values[-1] - values[rounds.index(stop)]
            lines.append(_row([world, *(f"{value:.1f}" for value in values), f"{short:.1f}"]))
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _curves(rounds: int) -> dict[str, pd.Series]:
    """Return the mean curve of each world whose cells have so many rounds."""
    found: dict[str, list[pd.Series]] = {}
    for record in Store.existing(ROOT / "results" / "rbfl-1-convergence").records():
        if record["cell"]["rounds"] == rounds:
            curve = pd.Series(record["curves"]["accuracy"], index=record["curves"]["round"])
            momentum = ", worker momentum" if record["cell"].get("worker_momentum") else ""
            found.setdefault(record["labels"]["partition"] + momentum, []).append(curve)
    return {world: pd.concat(curves, axis=1).mean(axis=1) for world, curves in sorted(found.items())}


def _extent(found: Extent | None) -> list[str]:
    if found is None:
        return ["", "", "", ""]
    pilot = [f"{found.pilot_cells:,}", duration_text(found.pilot_seconds)] if found.pilot_cells else ["", ""]
    return [f"{found.cells:,}", duration_text(found.seconds), *pilot]


def _run(folder: Path) -> str:
    """Return what of a block has committed results: they are packed when they are whole."""
    if (folder / "cells.jsonl.gz").is_file():
        return "all"
    return "the pilot" if (folder / "pilot" / "cells.jsonl.gz").is_file() else "–"


def _header(names: list[str]) -> list[str]:
    return [_row(names), _row(["---", *["--:"] * (len(names) - 1)])]


def _row(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"


def page(text: str) -> str:
    """Return the page with its tables made anew."""
    return with_made(text, {"blocks": blocks(), "convergence": convergence()}, PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
