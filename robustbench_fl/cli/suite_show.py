"""What ``suite list`` and ``suite show`` say: from the suite's files alone, no method is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robustbench_fl.cli.durations import duration_text
from robustbench_fl.cli.output import rows_text

if TYPE_CHECKING:
    from robustbench_fl.sweep.config import Sweep
    from robustbench_fl.sweep.suites import Block, Extent, Suite, Tier

_STRENGTHS = {
    "picked": "each family at the strength that a pilot picks for the rule, and at its default",
    "defaults": "attacks as they are named",
}


def tier_rows(suite: Suite) -> list[dict[str, Any]]:
    """Return a row for each tier: how much it runs, and how long that takes by the committed calibration."""
    from robustbench_fl.sweep.suites import stored_at

    rows = []
    for tier in suite.tiers:
        known = [found for block in tier.blocks if (found := suite.extent(tier, block))]
        total = _sum(known) if len(known) == len(tier.blocks) else None
        home = stored_at(tier)
        rows.append(
            {
                "suite": suite.name,
                "tier": tier.name,
                "blocks": len(tier.blocks),
                **_shown(total),
                "finished_blocks": sum((home / b.name / "cells.jsonl.gz").is_file() for b in tier.blocks),
                "digest": suite.digest,
            }
        )
    return rows


def block_rows(suite: Suite, tier: Tier) -> list[dict[str, Any]]:
    """Return a row for each block of a tier."""
    rows = []
    for block in tier.blocks:
        sweep = block.sweep()
        rows.append(
            {
                "tier": tier.name,
                "block": block.name,
                "main": block.main,
                "strengths": block.strengths,
                "rules": len({rule for grid in sweep.grids for rule in grid.aggregator}),
                "attacks": len({attack for grid in sweep.grids for attack in grid.attack} - {"none"}),
                "seeds": len({seed for grid in sweep.grids for seed in grid.seeds}),
                **_shown(suite.extent(tier, block)),
            }
        )
    return rows


def protocol(suite: Suite, tiers: list[Tier]) -> str:
    """Return a suite's protocol in plain words."""
    seeds = _seeds(list(suite.pilot_seeds))
    parts = [
        f"{suite.name}, version {suite.version}, digest {suite.digest}. {suite.about}\n"
        f"Strengths of attacks and parameters of tuned rules are picked on the pilot seeds {seeds}, which "
        "are never reported."
    ]
    for tier in tiers:
        said = [f"Tier {tier.name}: {tier.about}"]
        said += [_block_text(tier, block) for block in tier.blocks]
        if suite.times.how:
            said.append(f"Time, CPU: {suite.times.how}")
        rows = [{k: v for k, v in row.items() if k not in ("tier", "main", "strengths")}
                for row in block_rows(suite, tier)]  # fmt: skip
        parts.append("\n\n".join([*said, rows_text(rows, "table")]))
    return "\n\n".join(parts)


def _block_text(tier: Tier, block: Block) -> str:
    sweep = block.sweep()
    strengths = _STRENGTHS.get(block.strengths, f"the strengths that were picked in {block.strengths}")
    headline = "; counts in the headline" if block.main else ""
    joins = f"; read with {block.joins}" if block.joins else ""
    lines = [f"{block.name}{headline}{joins}. {block.about}", f"  Attacks: {strengths}."]
    if block.tune:
        lines.append("  Each rule has a tuned row beside it.")
    for grid in sweep.grids:
        lines += _grid_lines(sweep, grid)
    if block.strengths == "picked" and tier.members:
        lines.append(
            f"  A pilot tries: {', '.join(tier.members)}; it picks at most {tier.picks} of a family."
        )
    return "\n".join(lines)


def _grid_lines(sweep: Sweep, grid: Any) -> list[str]:
    """Return an indented line for each thing that a grid says."""
    from robustbench_fl.core.settings import ADDED, SETTINGS

    shares = ", ".join(f"{100 * share:g} %" for share in grid.malicious)
    world = (
        f"{', '.join(grid.dataset)}; {', '.join(grid.model)}; {', '.join(grid.partition)}; {shares} malicious"
    )
    stated = [
        f"{name} {', '.join(map(str, getattr(grid, name)))}"
        for name in SETTINGS
        if getattr(grid, name) != [None] and getattr(grid, name) != [ADDED.get(name, object())]
    ]
    return [
        f"  World: {world}.",
        f"  Settings: {', '.join(stated)}; the server assumes f {', '.join(grid.assumed_f)}.",
        f"  Rules: {', '.join(grid.aggregator)}.",
        f"  Attacks: {', '.join(grid.attack)}. Seeds: {_seeds(grid.seeds)}.",
    ]


def _seeds(seeds: list[int]) -> str:
    whole = seeds == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]} to {seeds[-1]}" if whole and len(seeds) > 1 else ", ".join(map(str, seeds))


def _sum(extents: list[Extent]) -> Extent:
    from robustbench_fl.sweep.suites import Extent

    return Extent(**{name: sum(getattr(one, name) for one in extents) for name in Extent.model_fields})


def _shown(extent: Extent | None) -> dict[str, Any]:
    """Return cells and time, of those that are reported and of pilot and tuning."""
    if extent is None:
        return dict.fromkeys(("cells", "cpu_time", "pilot_cells", "pilot_cpu_time"))
    return {
        "cells": extent.cells,
        "cpu_time": duration_text(extent.seconds),
        "pilot_cells": extent.pilot_cells,
        "pilot_cpu_time": duration_text(extent.pilot_seconds),
    }
