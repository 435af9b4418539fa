"""What ``suite run`` does, block by block: strengths picked where nobody has, cells run, parts packed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_fl.cli.finishing import tell_failures
from robustbench_fl.cli.options import choice_of
from robustbench_fl.cli.piloting import FOLDER, TUNING, Trial
from robustbench_fl.cli.plan_text import times_of
from robustbench_fl.cli.running import Running
from robustbench_fl.cli.saying import say
from robustbench_fl.cli.sweeping import headline, run_at
from robustbench_fl.cli.where import Where, site_of
from robustbench_fl.core.status import FAILURES, FINAL

if TYPE_CHECKING:
    from robustbench_fl.core.picks import OfPilot
    from robustbench_fl.store import Store
    from robustbench_fl.sweep.config import Sweep
    from robustbench_fl.sweep.run import Prepared
    from robustbench_fl.sweep.runner.processes import MethodProcess
    from robustbench_fl.sweep.suites import Block, Suite, Tier


@dataclass(frozen=True)
class Job:
    """A tier to run.

    Parameters
    ----------
    suite, tier : Suite, Tier
        What.
    overrides : mapping
        As from flags: another rule or data set than the suite's.
    out : Path
        Where to, a folder for each block.
    stored : Path, optional
        Where picks of the suite itself lie; ``None`` where these do not hold, since rule or data differ.
    on : str
        The data, where it is not the suite's.
    where, running, flags
        As for a sweep.
    """

    suite: Suite
    tier: Tier
    overrides: Mapping[str, Any]
    out: Path
    stored: Path | None
    on: str
    where: Where
    running: Running
    flags: Mapping[str, Any]
    picked: dict[str, Path] = field(default_factory=dict)
    """Where the picks of blocks lie that were asked for before."""

    def asked(self, block: Block) -> Sweep:
        """Return a block's sweep, without its picks."""
        return block.sweep(self.overrides)

    def trial(self, block: Block) -> Trial:
        """Return the pilot of a block."""
        where = replace(self.where, suite=self.suite.mark(self.tier, block, self.on))
        seeds = list(self.suite.pilot_seeds)
        name = f"{self.tier.full_name}/{block.name}"
        return Trial(self.asked(block), name, seeds, self.title(block), self.out / block.name, where,
                     self.running, dict(self.flags))  # fmt: skip

    def title(self, block: Block) -> str:
        """Return what messages call a block."""
        return f"{self.tier.full_name}, block {block.name}"


def run_block(job: Job, block: Block, *, pilot_only: bool) -> int:
    """Run what of a block is missing, its pilot first; return the exit code.

    Parameters
    ----------
    job : Job
        What is run, and where.
    block : Block
        One of its tier.
    pilot_only : bool
        Whether to stop when strengths and parameters are picked.
    """
    tuned, code = _tuned(job, block)
    if code is not None:
        return code
    picks, code = _picks(job, block)
    if code is not None or pilot_only:
        return code or 0
    changed = {"pilot": picks, "tuned_rules": tuned}
    sweep = job.asked(block).model_copy(update={name: path for name, path in changed.items() if path})
    prepared, store = _run(job, block, sweep)
    statuses = store.statuses()
    chosen = [planned.cell.key for planned in prepared.chosen]
    tell_failures(store, [key for key in chosen if statuses.get(key) in FAILURES], len(chosen))
    _pack(store)
    return int(any(statuses.get(key) not in FINAL for key in chosen))


def speaks_of_f(sweep: Sweep) -> bool:
    """Whether another assumed f than the true one changes anything for the rules of a sweep."""
    from robustbench_fl.sweep.expand import expand

    if all(grid.assumed_f == ["exact"] for grid in sweep.grids):
        return True
    return any(planned.cell.assumed_f is not None for planned in expand(sweep))


def slug(text: str) -> str:
    """Return a text as part of a folder's name.

    Examples
    --------
    >>> slug("nnm > my_rule(x=0.1)")
    'nnm-my_rule-x-0.1'
    """
    return re.sub("[^A-Za-z0-9._]+", "-", text).strip("-.")[:60]


def _run(job: Job, block: Block, sweep: Sweep) -> tuple[Prepared, Store]:
    from robustbench_fl.store import Store
    from robustbench_fl.sweep.run import prepare

    store = Store(job.out / block.name)
    where = replace(job.where, suite=job.suite.mark(job.tier, block, job.on))
    plugins = tuple(map(Path, sweep.plugins))
    with _methods(plugins) as methods:
        prepared = prepare(
            sweep,
            store,
            source=job.title(block),
            existing=job.running.existing,
            retry_failed=job.running.retry_failed,
            keep_stale=job.running.keep_stale,
            choice=choice_of(dict(job.flags)),
            methods=methods,
            data_dir=where.data_dir,
        )
        say(headline(prepared, store), err=True)
        if prepared.pending:
            with site_of(where, prepared.pending, plugins, methods) as site:
                run_at(site, prepared, store, job.running, times_of(prepared, store))
    return prepared, store


def _picks(job: Job, block: Block) -> tuple[Path | None, int | None]:
    """Return where the picks of a block lie, or the exit code where there are none yet."""
    from robustbench_fl.core.picks import FILE
    from robustbench_fl.store import Store
    from robustbench_fl.sweep.suite_plan import carried, fewer
    from robustbench_fl.sweep.suites import CARRIED, DEFAULTS, PICKED

    if block.strengths == DEFAULTS:
        return None, None
    if block.name in job.picked:
        return job.picked[block.name], None
    if block.strengths != PICKED:
        source, code = _picks(job, job.tier.block(block.strengths))
        if source is None:
            return None, code
        asked = job.asked(block)
        with _methods(tuple(map(Path, asked.plugins))) as methods:
            found = methods.call(carried, source, asked, job.where.data_dir)
        return _written(job.out / CARRIED / f"{block.name}.json", found), None
    if held := _held(job, block, FILE):
        return held, None
    whole, code = job.trial(block).strengths(job.tier.members)
    if whole is None:
        return None, code
    _pack(Store(job.out / block.name / FOLDER))
    job.picked[block.name] = _written(job.out / block.name / FILE, fewer(whole, job.tier.picks))
    return job.picked[block.name], None


def _tuned(job: Job, block: Block) -> tuple[Path | None, int | None]:
    """Return where the tuned rules of a block lie, or the exit code where there are none yet."""
    from robustbench_fl.core.tuned import FILE
    from robustbench_fl.store import Store

    if not block.tune:
        return None, None
    if held := _held(job, block, FILE):
        return held, None
    found, code = job.trial(block).tuned()
    if found is None:
        return None, code
    _pack(Store(job.out / block.name / TUNING))
    return _written(job.out / block.name / FILE, found), None


def _held(job: Job, block: Block, name: str) -> Path | None:
    """Return the suite's own file of picks, if it is there and holds for what is run."""
    places = [job.stored / block.name / name, job.out / block.name / name] if job.stored else []
    return next((path for path in places if path.is_file()), None)


def _written(path: Path, found: OfPilot) -> Path:
    from robustbench_fl.core.picks import write_picks

    path.parent.mkdir(parents=True, exist_ok=True)
    write_picks(path, found)
    return path


def _pack(store: Store) -> None:
    """Pack a folder all of whose cells are there."""
    statuses = store.statuses()
    whole = all(statuses.get(row["key"]) in FINAL for row in store.planned())
    if (store.folder / "cells").is_dir() and whole:
        store.pack()
        store.code.pack()


def _methods(plugins: tuple[Path, ...]) -> MethodProcess:
    from robustbench_fl.sweep.runner.processes import MethodProcess

    return MethodProcess(plugins, ready_for="robustbench_fl.sweep.expand")
