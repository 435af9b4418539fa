"""The sweep by which rules are tuned, and the sweep that runs the tuned rules beside the others.

Every rule gets its own small grid (:mod:`robustbench_fl.api.tuning`) times the same three learning rates,
on pilot seeds. What is best on the validation split, in the mean over the attacks, is the tuned rule of
the data set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robustbench_fl.api import build
from robustbench_fl.api.tuning import at_edge, candidates
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.tuned import COMMAND, Tuned, is_tuned, read_tuned, tuned, untuned
from robustbench_fl.sweep.config import Grid, Sweep
from robustbench_fl.sweep.expand import canonical
from robustbench_fl.sweep.piloted import is_baseline, refuse_shared, same_code

LR_FACTORS = (0.5, 1.0, 2.0)
"""Times the sweep's learning rate: the grid of every rule, also of those that have nothing else to tune."""


@dataclass(frozen=True)
class Candidates:
    """What is tried of one rule.

    Parameters
    ----------
    forms : dict of str to list of str
        The forms of the rule, itself first, with the parameters that are at the edge of their grid.
    lrs : dict of float to bool
        Learning rates, that of the sweep first, and whether they are at the edge of theirs.
    """

    forms: dict[str, list[str]]
    lrs: dict[float, bool]


def tuning_trial(
    asked: Sweep, seeds: Sequence[int], source: str, data_dir: Path | None = None
) -> tuple[Sweep, dict[tuple[str, str, float], Candidates]]:
    """Return the sweep that tries every candidate, and the candidates by data set, rule and learning rate.

    The attacks are those of the sweep as it names them; adaptive ones and the clean setting are left out.

    Parameters
    ----------
    asked : Sweep
        What is tuned for, as read; picks and tuned rules that it names are not read.
    seeds : sequence of int
        The pilot seeds.
    source : str
        Where the sweep was read from, for error messages.
    data_dir : Path, optional
        Where the user's own data sets lie; by default the one data directory.

    Raises
    ------
    UsageError
        If a method is unknown, the sweep has one of the seeds itself, or nothing can be tuned.
    """
    whole = canonical(asked, source, data_dir)
    refuse_shared(whole, seeds, "pilot seeds")
    grids: list[Grid] = []
    tried: dict[tuple[str, str, float], Candidates] = {}
    for grid in whole.grids:
        attacks = [attack for attack in grid.attack if _counts(attack)]
        shares = [share for share in grid.malicious if share]
        rules = [rule for rule in grid.aggregator if not is_tuned(rule) and not is_baseline(rule)]
        if not (attacks and shares and rules):
            continue
        lr = _one_lr(grid)
        if not all(grid.validation):
            raise UsageError("Rules are tuned on the validation split: give validation a share above 0.")
        lrs = {_times(lr, factor): factor != sorted(LR_FACTORS)[1] for factor in (1.0, *LR_FACTORS)}
        forms = {rule: {form: at_edge(rule, form) for form in candidates(rule)} for rule in rules}
        tried |= {(data, rule, lr): Candidates(forms[rule], lrs) for data in grid.dataset for rule in rules}
        axes = {
            "attack": attacks,
            "malicious": shares,
            "aggregator": list(dict.fromkeys(form for rule in rules for form in forms[rule])),
            "lr": list(lrs),
            "seeds": list(seeds),
        }
        grids.append(grid.model_copy(update=axes))
    if not grids:
        raise UsageError(
            "There is nothing to tune: the sweep has no attack but adaptive ones, no malicious client, "
            "or no rule but baselines."
        )
    return Sweep(name=f"{whole.name}-tuning", grids=tuple(grids), plugins=whole.plugins), tried


def with_tuned(sweep: Sweep) -> Sweep:
    """Return a canonical sweep with each rule's tuned form after it, as the file that it names says.

    Raises
    ------
    UsageError
        If the file cannot be read, knows a rule or data set not or with other code, or its seeds are the
        sweep's own.
    """
    if sweep.tuned_rules is None:
        return sweep
    found = read_tuned(sweep.tuned_rules)
    source = str(sweep.tuned_rules)
    refuse_shared(sweep, found.seeds, f"seeds of the pilot in {source!r}")
    picks = {pick.place: pick for pick in found.picks}
    check = same_code(found, source, COMMAND)
    used: dict[tuple[str, str, float], Tuned] = {}
    grids = []
    for grid in sweep.grids:
        rules: list[str] = []
        for rule in grid.aggregator:
            rules.append(rule)
            if is_tuned(rule) or is_baseline(rule):
                continue
            rules.append(tuned(rule))
            for place in ((data, rule, _one_lr(grid)) for data in grid.dataset):
                if place not in picks:
                    raise UsageError(
                        f"{source!r} has no tuned {rule} for {place[0]} at lr = {place[2]:g}. "
                        f"The rule or a setting came later: run {COMMAND} again."
                    )
                used[place] = _checked(picks[place], source)
                check("dataset", place[0])
            check("aggregator", rule)
        for axis in ("model", "partition", "attack"):
            for text in getattr(grid, axis):
                check(axis, text, if_run=True)
        grids.append(grid.model_copy(update={"aggregator": list(dict.fromkeys(rules))}))
    return sweep.model_copy(
        update={"grids": tuple(grids), "tuned": tuple(used.values()), "tuned_rules": None}
    )


def _checked(pick: Tuned, source: str) -> Tuned:
    """Return what a sweep holds of a pick, the text of the rule canonical."""
    rule = build.make("aggregators", pick.picked, source)
    if rule.needs != build.make("aggregators", untuned(pick.aggregator), source).needs:
        raise UsageError(
            f"{source!r} holds no tuned rules: {pick.picked!r} must know other things "
            f"than {pick.aggregator!r}."
        )
    return Tuned(
        dataset=pick.dataset,
        aggregator=pick.aggregator,
        lr=pick.lr,
        picked=build.text_of(rule),
        picked_lr=pick.picked_lr,
    )


def _counts(attack: str) -> bool:
    made = build.make("attacks", attack)
    return made.category != "none" and not made.adaptive


def _one_lr(grid: Grid) -> float:
    if len(grid.lr) > 1:
        raise UsageError("A sweep with tuned rules has one lr in each grid: tuning varies it itself.")
    lr: float = grid.lr[0]
    return lr


def _times(lr: float, factor: float) -> float:
    """Return the product as people write it: 0.15, not 0.15000000000000002."""
    return float(f"{lr * factor:.12g}")
