"""What a suite's blocks plan: the trial of a pilot, picks that hold in another block, and frozen digests.

Every function here asks methods, so commands call it in the process that knows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.picks import FILE, Picks, read_picks
from robustbench_fl.core.tuned import FILE as TUNED
from robustbench_fl.sweep.config import Sweep
from robustbench_fl.sweep.expand import canonical, expand
from robustbench_fl.sweep.picking import block_of, digest_of
from robustbench_fl.sweep.strengths import narrowed, trial
from robustbench_fl.sweep.suites import CARRIED, DEFAULTS, PICKED, Block, Suite, Tier, stored_at
from robustbench_fl.sweep.tuning import tuning_trial, with_tuned


def fewer(picks: Picks, most: int) -> Picks:
    """Return picks with at most `most` members of each family, the worst first."""
    cut = [pick.model_copy(update={"members": pick.members[:most]}) for pick in picks.picks]
    return picks.model_copy(update={"picks": cut})


def carried(source: Path, asked: Sweep, data_dir: Path | None = None) -> Picks:
    """Return the picks of one block for another one, whatever its settings and what f it assumes.

    Parameters
    ----------
    source : Path
        The picks of the first block, which is one alone.
    asked : Sweep
        The other block.
    data_dir : Path, optional
        Where the user's own data sets lie.

    Raises
    ------
    UsageError
        If the picks cannot be read, or are of several blocks.
    """
    picks = read_picks(source)
    if len(picks.blocks) != 1 or len({pick.assumed_f for pick in picks.picks} - {None}) > 1:
        raise UsageError(f"{str(source)!r} holds picks of several blocks; these are of none in particular.")
    cells = [one.cell for one in expand(canonical(asked, data_dir=data_dir)) if one.cell.malicious]
    blocks = list({block_of(cell, cell.settings.lr).model_dump_json(): cell for cell in cells}.values())
    assumed = list(dict.fromkeys(cell.assumed_f for cell in cells if cell.assumed_f))
    made = [
        pick.model_copy(update={"block": place, "assumed_f": mode})
        for place in range(len(blocks))
        for pick in picks.picks
        for mode in (assumed if pick.assumed_f else [None])
    ]
    return picks.model_copy(
        update={"blocks": [block_of(cell, cell.settings.lr) for cell in blocks], "picks": made}
    )


def frozen(suite: Suite) -> dict[str, Any]:
    """Return how many cells each block plans and a digest of their keys, for a test to hold.

    Returns
    -------
    dict
        The suite's ``digest``, and by tier and block: ``named``, cells with the attacks as the suite names
        them, ``pilot`` or ``tuning``, cells of the block's pilot, and ``picked`` or ``tuned``, cells once
        strengths are picked or rules tuned, where that lies among the results.
    """
    found: dict[str, Any] = {"digest": suite.digest, "tiers": {}}
    for tier in suite.tiers:
        found["tiers"][tier.name] = {block.name: _frozen(suite, tier, block) for block in tier.blocks}
    return found


def _frozen(suite: Suite, tier: Tier, block: Block) -> dict[str, Any]:
    sweep = block.sweep()
    found = {"named": _digest(expand(canonical(sweep)))}
    if block.tune:
        found["tuning"] = _digest(expand(tuning_trial(sweep, suite.pilot_seeds, block.name)[0]))
        rules = stored_at(tier) / block.name / TUNED
        if rules.is_file():
            changed = canonical(sweep).model_copy(update={"tuned_rules": rules})
            found["tuned"] = _digest(expand(with_tuned(changed)))
    if block.strengths == DEFAULTS:
        return found
    if block.strengths == PICKED:
        tried, _ = trial(sweep, suite.pilot_seeds, block.name, tried=tier.members)
        found["pilot"] = _digest(expand(tried))
    own = (block.name, FILE) if block.strengths == PICKED else (CARRIED, f"{block.name}.json")
    picks = stored_at(tier).joinpath(*own)
    if picks.is_file():
        found["picked"] = _digest(expand(narrowed(canonical(sweep).model_copy(update={"pilot": picks}))))
    return found


def _digest(cells: Sequence[Planned]) -> dict[str, Any]:
    return {"cells": len(cells), "keys": digest_of(planned.cell.key for planned in cells)}
