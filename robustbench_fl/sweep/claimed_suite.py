"""Whether the sweeps of a claim are those of the frozen suite that it names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.claim import Claim
from robustbench_fl.core.errors import UsageError, among
from robustbench_fl.store import Store
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.suites import Block, Suite, Tier, read_suite, stored_at, suites

Keys = Mapping[str, Planned]


def known_suite(name: str) -> Suite:
    """Return one of the suites that are here; `name` may be anybody's word, and no path.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in suites():
        raise UsageError(f"There is no suite {name!r} here. {among(name, suites())}")
    return read_suite(name)


def is_main(tier: Tier, block: Block) -> bool:
    """Whether the cells of a block count in the headline of its tier, with those of a block it joins."""
    return tier.block(block.joins).main if block.joins else block.main


def suite_faults(claim: Claim) -> list[str]:
    """Return what of a claim is not as its suite has it, a sentence each; nothing without a suite.

    A rule of the suite, and the reference, must have the very cells that are planned for them in the
    committed results. A further rule must have all cells that the suite names, in all blocks that are run
    for further rules, and beside them only strengths of the same families: which of these its pilot picked,
    nothing but that pilot tells. Imports torch.

    Raises
    ------
    UsageError
        If the suite is not known here.
    """
    if claim.suite is None:
        return []
    suite = known_suite(claim.suite.name)
    if (claim.suite.version, claim.suite.digest) != (suite.version, suite.digest):
        return [
            f"It names {claim.suite.name} version {claim.suite.version} of digest {claim.suite.digest}; here "
            f"that suite is version {suite.version} of digest {suite.digest}."
        ]
    try:
        tier = suite.tier(claim.suite.tier)
        found = {part.name: tier.block(part.name) for part in claim.sweeps}
    except UsageError as error:
        return [str(error)]
    said = [
        f"The block {part.name} is {'not ' * part.main}one of the headline."
        for part in claim.sweeps
        if part.main != is_main(tier, found[part.name])
    ]
    planned = {name: _claimed(claim, name) for name in found}
    home = stored_at(tier)
    for rule in dict.fromkeys((claim.rule, claim.reference or claim.rule)):
        stored = {block.name: _stored((home / block.name).resolve(), rule) for block in tier.blocks}
        if any(stored.values()):
            wanted = {name: keys for name, keys in stored.items() if keys}
            said += _other_cells(rule, wanted, planned, whole=rule == claim.rule)
        else:
            said += _further(rule, tier, planned)
    return said


def _claimed(claim: Claim, block: str) -> dict[str, dict[str, Planned]]:
    """Return the planned cells of a block by rule and key."""
    from robustbench_fl.sweep.expand import expand

    cells: dict[str, dict[str, Planned]] = {}
    for part in claim.sweeps:
        if part.name == block:
            for planned in expand(make_sweep({"name": "claim", **part.table}, {})):
                for rule, _ in planned.rows:
                    cells.setdefault(rule, {})[planned.cell.key] = planned
    return cells


@cache
def _rows(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return rule and key of every planned cell of a stored block."""
    if not (folder / "sweep.toml").is_file():
        return ()
    rows = Store.existing(folder).planned()
    return tuple(
        (one["aggregator"], row["key"]) for row in rows for one in row.get("stands_for") or [row["labels"]]
    )


def _stored(folder: Path, rule: str) -> set[str]:
    return {key for name, key in _rows(folder) if name == rule}


def _other_cells(
    rule: str, wanted: Mapping[str, set[str]], planned: Mapping[str, Mapping[str, Keys]], *, whole: bool
) -> list[str]:
    """Say in which blocks a rule of the suite has other cells than its results."""
    blocks = (
        set(wanted) | {name for name, rules in planned.items() if rule in rules} if whole else set(planned)
    )
    return [
        f"In the block {name} {rule} has other cells than in the suite."
        for name in sorted(blocks)
        if set(planned.get(name, {}).get(rule, {})) != wanted.get(name, set())
    ]


def _further(rule: str, tier: Tier, planned: Mapping[str, Mapping[str, Keys]]) -> list[str]:
    from robustbench_fl.api import build
    from robustbench_fl.api.families import family_of
    from robustbench_fl.sweep.expand import canonical, expand

    said = []
    for block in tier.blocks:
        sweep = canonical(block.sweep({"aggregator": [rule]}))
        named = {one.cell.key: one for one in expand(sweep)}
        own = planned.get(block.name, {}).get(rule, {})
        speaks_of_f = any(one.cell.assumed_f for one in named.values())
        exact = all(grid.assumed_f == ["exact"] for grid in sweep.grids)
        if not own and not (block.open and (exact or speaks_of_f)):
            continue
        if missing := len(set(named) - set(own)):
            said.append(f"In the block {block.name} {missing} cells that the suite names are missing.")
        worlds = {_world(one) for one in named.values()}
        families = {family_of(type(build.make("attacks", one.cell.attack))) for one in named.values()}
        for key in set(own) - set(named):
            attack = own[key].cell.attack
            if (
                _world(own[key]) not in worlds
                or family_of(type(build.make("attacks", attack))) not in families
            ):
                said.append(f"In the block {block.name} the cell {key} is none of the suite.")
                break
    return said


def _world(planned: Planned) -> str:
    """Return what the suite decides of a cell: all but the strength of its attack."""
    cell = {name: value for name, value in planned.cell.identity.items() if name != "attack"}
    return json.dumps(cell, sort_keys=True)
