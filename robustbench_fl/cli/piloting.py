"""``pilot``: strengths of attacks that hurt most, and tuned rules, found on seeds never reported."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.cli.finishing import tell_failures
from robustbench_fl.cli.options import choice_of, choice_options, sweep_of, sweep_options
from robustbench_fl.cli.output import format_option, print_rows
from robustbench_fl.cli.plan_text import times_of
from robustbench_fl.cli.running import Running, run_options
from robustbench_fl.cli.saying import say
from robustbench_fl.cli.sweeping import headline, run_at
from robustbench_fl.cli.where import Where, site_of, where_options
from robustbench_fl.core.counted import counted
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.status import COUNTED, FAILURES, FINAL

if TYPE_CHECKING:
    from robustbench_fl.core.cell import Planned
    from robustbench_fl.core.picks import Picks
    from robustbench_fl.core.tuned import TunedRules
    from robustbench_fl.store import Store
    from robustbench_fl.sweep.config import Sweep

FOLDER, TUNING = "pilot", "tuning"
"""Within the sweep's folder."""


@click.command()
@sweep_options
@choice_options
@where_options
@run_options
@click.option(
    "--pilot-seeds",
    default="1000:1004",
    show_default=True,
    metavar="SEEDS",
    help="Seeds to pick on, at least 4, none of them the sweep's own.",
)
@click.option(
    "--tune",
    is_flag=True,
    help="Pick each rule's own parameters and the client learning rate, in place of strengths of attacks.",
)
@format_option
def pilot(
    file: Path | None,
    where: Where,
    running: Running,
    out: Path | None,
    plugins: tuple[Path, ...],
    pilot_seeds: str,
    tune: bool,
    format_: str,
    **flags: Any,
) -> int:
    """Pick the strength of each attack that hurts most, for each rule and block.

    It takes the file and the flags of `sweep`, and runs every strength of the families of the sweep's
    attacks on seeds of its own, in the folder pilot/ of the sweep's folder; finished cells are kept. What
    it picks is stored in picks.json of the sweep's folder. Name that file in the sweep file, as
    pilot = "path/to/picks.json", and the sweep runs these strengths.

    With --tune it picks for each rule, among a small grid that the rule declares and three learning rates,
    what is best on the validation split in the mean over the attacks. Its folder is tuning/, its file
    tuned.json: name it as tuned = "path/to/tuned.json", and the sweep runs a tuned row of each rule too.
    """
    from robustbench_fl.sweep.config import parse_seeds
    from robustbench_fl.sweep.run import default_folder

    seeds = _enough(parse_seeds(pilot_seeds, "--pilot-seeds"))
    asked = sweep_of(file, {**flags, "plugins": plugins})
    folder = out or default_folder(asked.name)
    trial = Trial(asked, asked.name, seeds, file.name if file else "", folder, where, running, flags)
    return _tune(trial, format_) if tune else _pick(trial, format_)


@dataclass(frozen=True)
class _Ran:
    """All cells of a trial, the metric of those that have it, by key, and the digests of plug-ins' code."""

    cells: list[Planned]
    values: dict[str, float]
    code: dict[str, str]


@dataclass(frozen=True)
class Trial:
    """Cells to run on pilot seeds, and where; what is found is said to be of the sweep `name`."""

    asked: Sweep
    name: str
    seeds: list[int]
    source: str
    folder: Path
    where: Where
    running: Running
    flags: dict[str, Any]

    def strengths(self, tried: Sequence[str] = ()) -> tuple[Picks | None, int]:
        """Run the members of the families, or only those `tried`, and pick the worst.

        Returns
        -------
        picks : Picks or None
            None where some cell has no result yet, and nothing can be picked.
        code : int
            The exit code.
        """
        from robustbench_fl.sweep.picking import picks_of
        from robustbench_fl.sweep.strengths import trial

        ran, named, code = self._run(functools.partial(trial, tried=tried), FOLDER, "accuracy")
        if code is not None:
            return None, code
        found = picks_of(ran.cells, ran.values, sweep=self.name, seeds=self.seeds, named=named)
        return found.model_copy(update={"code": ran.code}), 0

    def tuned(self) -> tuple[TunedRules | None, int]:
        """Run the candidates of each rule and pick the best: as :meth:`strengths` returns them."""
        from robustbench_fl.sweep.tuned_picking import tuned_rules
        from robustbench_fl.sweep.tuning import tuning_trial

        ran, tried, code = self._run(tuning_trial, TUNING, "validation_accuracy")
        if code is not None:
            return None, code
        found = tuned_rules(ran.cells, ran.values, tried, sweep=self.name, seeds=self.seeds)
        return found.model_copy(update={"code": ran.code}), 0

    def _run(
        self, trial_of: Callable[..., tuple[Sweep, Any]], name: str, metric: str
    ) -> tuple[_Ran, Any, int | None]:
        """Run the sweep that `trial_of` makes in the folder `name`.

        Returns
        -------
        ran : _Ran
            The cells, and what they gave.
        made : object
            What `trial_of` returns beside the sweep.
        code : int or None
            The exit code where some cell has no result yet, and nothing can be picked.
        """
        from robustbench_fl.store import Store
        from robustbench_fl.sweep.piloted import code_of
        from robustbench_fl.sweep.run import prepare
        from robustbench_fl.sweep.runner.processes import MethodProcess

        plugins = tuple(map(Path, self.asked.plugins))
        store = Store(self.folder / name)
        with MethodProcess(plugins, ready_for="robustbench_fl.sweep.expand") as methods:
            sweep, made = methods.call(trial_of, self.asked, self.seeds, self.source, self.where.data_dir)
            digests = methods.call(code_of, sweep)
            prepared = prepare(
                sweep,
                store,
                source=self.source,
                existing=self.running.existing,
                retry_failed=self.running.retry_failed,
                keep_stale=self.running.keep_stale,
                choice=choice_of(self.flags),
                methods=methods,
                data_dir=self.where.data_dir,
            )
            say(headline(prepared, store), err=True)
            with site_of(self.where, prepared.pending, plugins, methods) as site:
                run_at(site, prepared, store, self.running, times_of(prepared, store))
        statuses = store.statuses()
        code = None
        if open_cells := _without_result(prepared.asked, statuses):
            chosen = [planned.cell.key for planned in prepared.chosen]
            tell_failures(store, [key for key in chosen if statuses.get(key) in FAILURES], len(chosen))
            say(
                f"Nothing is picked yet: {open_cells} of the pilot's {counted(len(prepared.asked), 'cell')} "
                "have no result.",
                err=True,
            )
            code = int(any(statuses.get(key) not in FINAL for key in chosen))
        return _Ran(prepared.asked, _measured(store, prepared.asked, metric), digests), made, code


def _pick(trial: Trial, format_: str) -> int:
    from robustbench_fl.core.picks import FILE, write_picks

    found, code = trial.strengths()
    if found is None:
        return code
    write_picks(trial.folder / FILE, found)
    print_rows(_rows(found, format_), format_)
    say(f"\n{_summary(found)}\nThe picks: {trial.folder / FILE}", err=True)
    return 0


def _tune(trial: Trial, format_: str) -> int:
    from robustbench_fl.core.picks import write_picks
    from robustbench_fl.core.tuned import FILE

    found, code = trial.tuned()
    if found is None:
        return code
    write_picks(trial.folder / FILE, found)
    print_rows([pick.model_dump() for pick in found.picks], format_)
    better = sum((pick.picked, pick.picked_lr) != (pick.aggregator, pick.lr) for pick in found.picks)
    edge = sum(bool(pick.edge) for pick in found.picks)
    say(
        f"\n{counted(len(found.picks), 'rule')} tuned on the validation split; {better} are better with "
        f"other parameters or another learning rate than the sweep's; {edge} at the edge of a grid.\n"
        f"The tuned rules: {trial.folder / FILE}",
        err=True,
    )
    return 0


def _enough(seeds: list[int]) -> list[int]:
    from robustbench_fl.core.picks import FEWEST_SEEDS

    seeds = list(dict.fromkeys(seeds))
    if len(seeds) < FEWEST_SEEDS:
        raise UsageError(
            f"--pilot-seeds names {counted(len(seeds), 'seed')}; a pilot takes at least "
            f"{FEWEST_SEEDS}, such as 1000:1004 (the end is not included)."
        )
    return seeds


def _without_result(asked: Iterable[Planned], statuses: dict[str, str]) -> int:
    return sum(statuses.get(planned.cell.key) not in FINAL for planned in asked)


def _measured(store: Store, asked: Iterable[Planned], name: str) -> dict[str, float]:
    """Return one metric of every cell that has it, by key."""
    statuses = store.statuses()
    found = {}
    for key in (planned.cell.key for planned in asked):
        record = store.summary(key) if statuses.get(key) in COUNTED else None
        if record and record["metrics"] and record["metrics"][name] is not None:
            found[key] = float(record["metrics"][name])
    return found


def _rows(found: Picks, format_: str) -> list[dict[str, Any]]:
    """Return a row for each pick; people are shown only those columns of a block in which blocks differ."""
    rows = []
    for pick in found.picks:
        block = found.blocks[pick.block].model_dump()
        worst = pick.members[0] if pick.members else None
        rows.append(
            {
                "family": pick.family,
                "aggregator": pick.aggregator,
                **{name: value for name, value in block.items() if name != "settings"},
                "assumed_f": pick.assumed_f,
                **block["settings"],
                "picked": [member.attack for member in pick.members],
                "accuracy": worst.accuracy if worst else None,
                "default": pick.default,
                "default_accuracy": pick.default_accuracy,
                "tried": pick.tried,
                "edge": worst.edge if worst else None,
            }
        )
    if format_ == "json":
        return rows
    kept = {"family", "aggregator", "picked", "accuracy", "default", "default_accuracy", "tried", "edge"}
    shown = [name for name in rows[0] if name in kept or len({row[name] for row in rows}) > 1]
    return [{name: row[name] for name in shown} for row in rows]


def _summary(found: Picks) -> str:
    """Return how many picks there are, and how many lie at the edge of their grid."""
    picks = [pick for pick in found.picks if pick.members]
    edge = sum(pick.members[0].edge for pick in picks)
    worse = sum(pick.members[0].attack != pick.default for pick in picks)
    text = f"{counted(len(picks), 'pick')}; in {worse} another strength than the default is worst."
    if edge:
        text += (
            f" {edge} lie at the edge of their grid: a still stronger attack may lie beyond. Name further "
            "strengths in the sweep and run the pilot again."
        )
    return text
