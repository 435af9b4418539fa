"""How long a suite's tier takes: learnt from its finished cells, and from two rounds of each other kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import Any

from robustbench_fl.core.cell import Planned
from robustbench_fl.core.counted import counted
from robustbench_fl.store import Store
from robustbench_fl.sweep.expand import canonical, expand
from robustbench_fl.sweep.runner.backend import Backend
from robustbench_fl.sweep.strengths import trial
from robustbench_fl.sweep.suites import DEFAULTS, PICKED, Block, Extent, Suite, Tier, stored_at
from robustbench_fl.sweep.timing import Times, calibrate, expected, kind_of, samples
from robustbench_fl.sweep.tuning import tuning_trial

_ENOUGH = 9


def times_of_tier(
    suite: Suite, tier: Tier, backend: Backend | None, say: Callable[[str], None] = lambda text: None
) -> dict[str, Extent]:
    """Return how long each block takes.

    Parameters
    ----------
    suite, tier : Suite, Tier
        What is timed.
    backend : Backend, optional
        Where kinds without a finished cell run two rounds each; without one they count as the others' mean.
    say : callable
        Told how many kinds are run, and which fail.
    """
    plans = {block.name: _plans(suite, tier, block) for block in tier.blocks}
    times = Times()
    for folder in (stored_at(tier) / block.name / part for block in tier.blocks for part in ("", "pilot")):
        if (folder / "sweep.toml").is_file():
            _learn(times, Store.existing(folder).records())
    if backend is not None:
        short = samples([one for plan in plans.values() for cells in plan for one in cells], times)
        say(
            f"{tier.name}: {counted(len(short), 'kind')} of cells without a finished one "
            "are run for two rounds."
        )
        for problem in calibrate(short, times, backend):
            say(problem)
    return {name: _extent(tier.block(name), tier, *plan, times) for name, plan in plans.items()}


def _plans(suite: Suite, tier: Tier, block: Block) -> tuple[list[Planned], list[Planned]]:
    """Return a block's cells with attacks as they are named, and those of its pilot or tuning."""
    sweep = canonical(block.sweep())
    trials = []
    if block.strengths == PICKED:
        trials += expand(trial(sweep, suite.pilot_seeds, block.name, tried=tier.members)[0])
    if block.tune:
        trials += expand(tuning_trial(sweep, suite.pilot_seeds, block.name)[0])
    return expand(sweep), trials


def _extent(
    block: Block, tier: Tier, named: Sequence[Planned], trials: Sequence[Planned], times: Times
) -> Extent:
    weights, tried = expected(named, times), expected(trials, times)
    cells, seconds = len(named), sum(weights.values())
    if block.strengths != DEFAULTS:
        more = _picked(named, tier)
        cells += more
        seconds += more * fmean((tried or weights).values())
    if block.tune:  # each rule once more
        seconds, cells = 2 * seconds, 2 * cells
    return Extent(
        cells=cells,
        seconds=round(seconds),
        pilot_cells=len(trials),
        pilot_seconds=round(sum(tried.values())),
    )


def _picked(named: Sequence[Planned], tier: Tier) -> int:
    """Return how many cells of picked strengths there are at most."""
    from robustbench_fl.api.families import families

    wide = {family for family, members in families().items() if len(members) > 1}
    return tier.picks * sum(bool(one.facts["ranked"]) and one.facts["family"] in wide for one in named)


def _learn(times: Times, records: Iterable[dict[str, Any]]) -> None:
    from robustbench_fl.core.settings import Settings

    seen: dict[Any, int] = {}
    for record in records:
        kind = kind_of(record["labels"], Settings.of(record["cell"]))
        if record.get("costs") and seen.get(kind, 0) < _ENOUGH:
            seen[kind] = seen.get(kind, 0) + 1
            times.learn(record)
