"""The sweep that a pilot runs, and the sweep that is left when its picks are known.

A pilot tries every member of each family that a sweep's attacks belong to. With its picks, the sweep
runs for each rule and block the picked members, and those that it names at their default strength.
Families of one member have nothing to pick; backdoors, whose success is not read from the accuracy,
run as they are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from robustbench_fl.api import Attack, Need, build
from robustbench_fl.api.families import families, family_of
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.picks import Picks, read_picks
from robustbench_fl.core.settings import Settings
from robustbench_fl.core.tuned import untuned
from robustbench_fl.sweep.config import Grid, Sweep
from robustbench_fl.sweep.expand import canonical
from robustbench_fl.sweep.piloted import is_baseline, refuse_shared, same_code
from robustbench_fl.sweep.tuning import with_tuned

_AXES = ("dataset", "model", "partition", "malicious", "assumed_f", *Settings.__dataclass_fields__)
"""What one block has one value of."""


def trial(
    asked: Sweep,
    seeds: Sequence[int],
    source: str,
    data_dir: Path | None = None,
    *,
    tried: Sequence[str] = (),
) -> tuple[Sweep, frozenset[str]]:
    """Return the pilot's own sweep, and the names of the attacks of `asked`.

    Parameters
    ----------
    asked : Sweep
        What the pilot is for, as read; picks that it names are not read.
    seeds : sequence of int
        The pilot seeds.
    source : str
        Where the sweep was read from, for error messages.
    data_dir : Path, optional
        Where the user's own data sets lie; by default the one data directory.
    tried : sequence of str, optional
        The members that are tried beside those that the sweep names; empty for all.

    Raises
    ------
    UsageError
        If a method is unknown, the sweep has one of the seeds itself, or nothing can be picked.
    """
    whole = with_tuned(canonical(asked, source, data_dir))
    refuse_shared(whole, seeds, "pilot seeds")
    kept = {build.text_of(build.make("attacks", text, source)) for text in tried}
    grids = []
    for grid in whole.grids:
        members = [member for many in _members(grid.attack).values() for member in many]
        members = [one for one in members if not kept or one in kept or one in grid.attack]
        shares = [share for share in grid.malicious if share]
        rules = [rule for rule in grid.aggregator if not is_baseline(rule)]
        if members and shares and rules:
            axes = {"attack": members, "malicious": shares, "aggregator": rules, "seeds": list(seeds)}
            grids.append(grid.model_copy(update=axes))
    if not grids:
        raise UsageError(
            "There is nothing to pick: no attack of the sweep belongs to a family of two or more strengths "
            "(robustbench-fl list attacks shows them; backdoors run as named), no client is malicious, or "
            "all rules are baselines."
        )
    named = frozenset(_attack(text)[0] for grid in whole.grids for text in grid.attack)
    name = f"{whole.name}-pilot"
    return Sweep(name=name, grids=tuple(grids), plugins=whole.plugins, tuned=whole.tuned), named


def narrowed(sweep: Sweep) -> Sweep:
    """Return a canonical sweep with the attacks of each rule and block as the picks that it names say.

    Raises
    ------
    UsageError
        If the picks cannot be read, are of other blocks, rules or code, or their seeds are the sweep's own.
    """
    if sweep.pilot is None:
        return sweep
    picks = read_picks(sweep.pilot)
    refuse_shared(sweep, picks.seeds, f"seeds of the pilot in {str(sweep.pilot)!r}")
    picked = _Picked(picks, str(sweep.pilot))
    grids: list[Grid] = []
    for grid in sweep.grids:
        grids += _narrowed_grid(grid, picked)
    return sweep.model_copy(update={"grids": tuple(grids), "pilot": None})


class _Picked:
    """The picked members, by block, rule, assumed f and family."""

    def __init__(self, picks: Picks, source: str) -> None:
        self._source = source
        self._check = same_code(picks, source, "robustbench-fl pilot")
        self._members: dict[tuple[str, str, str | None, str], list[str]] = {}
        names = [
            _name_of(Settings.of(b.settings), b.dataset, b.model, b.partition, b.malicious)
            for b in picks.blocks
        ]
        for pick in picks.picks:
            members = [_checked(member.attack, pick.family, source) for member in pick.members]
            self._members[names[pick.block], pick.aggregator, pick.assumed_f, pick.family] = members

    def members(self, rule: str, family: str, block: dict[str, Any], candidates: Sequence[str]) -> list[str]:
        """Return the members of `family` for a rule in a block; none where no member can be run.

        The picks depend on all `candidates` of the family that the pilot ran.

        Raises
        ------
        UsageError
            If the picks do not know them, or were made with other code of a plug-in.
        """
        settings = Settings(**{name: block[name] for name in Settings.__dataclass_fields__})
        where = (block["dataset"], block["model"], block["partition"], block["malicious"])
        assumed_f = block["assumed_f"] if _needs_f(rule) else None
        found = self._members.get((_name_of(settings, *where), rule, assumed_f, family))
        if found is None:
            raise UsageError(
                f"{self._source!r} has no pick of the family {family} for {rule} on {block['dataset']}, "
                f"{block['partition']}, {block['malicious']:g} malicious. The rule, the family or a setting "
                "came later: run robustbench-fl pilot again."
            )
        for axis in ("dataset", "model", "partition"):
            self._check(axis, block[axis])
        self._check("aggregator", rule)
        for attack in found:
            self._check("attack", attack)
        for attack in candidates:
            self._check("attack", attack, if_run=True)
        return found


def _narrowed_grid(grid: Grid, picked: _Picked) -> Iterator[Grid]:
    """Yield grids of one block each, rules that meet the same attacks together."""
    known = _members(grid.attack)
    shares = [share for share in grid.malicious if share]
    if not known or not shares:
        yield grid
        return
    if len(shares) < len(grid.malicious):
        yield grid.model_copy(update={"malicious": [0.0]})
    malicious = grid.model_copy(update={"malicious": shares})
    for point in product(*(getattr(malicious, axis) for axis in _AXES)):
        block = dict(zip(_AXES, point, strict=True))
        rules: dict[tuple[str, ...], list[str]] = {}
        for rule in grid.aggregator:
            attacks = tuple(_attacks_of(rule, block, grid, known, picked))
            rules.setdefault(attacks, []).append(rule)
        for attacks, those in rules.items():
            axes = {axis: [value] for axis, value in block.items()}
            yield grid.model_copy(update={**axes, "attack": list(attacks), "aggregator": those})


def _attacks_of(
    rule: str, block: dict[str, Any], grid: Grid, known: Mapping[str, Sequence[str]], picked: _Picked
) -> list[str]:
    """Return the attacks that a rule meets in a block, in the order in which the sweep names them."""
    found: list[str] = []
    for text in grid.attack:
        name, family, _ = _attack(text)
        if family not in known:
            found.append(text)
            continue
        found.append(name if name in known[family] else text)
        if not is_baseline(rule):
            found += picked.members(rule, family, block, known[family])
    return list(dict.fromkeys(found))


def _members(attacks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the members of each family that has some of `attacks`, these among them.

    Families of one member and of backdoors are left out.
    """
    grids = families()
    found: dict[str, tuple[str, ...]] = {}
    for text in attacks:
        _, family, category = _attack(text)
        if category not in ("none", "backdoor"):
            known = found.get(family) or grids[family]
            found[family] = tuple(dict.fromkeys((*known, text)))
    return {family: members for family, members in found.items() if len(members) > 1}


@cache
def _attack(text: str) -> tuple[str, str, str]:
    """Return the name of an attack without parameters, its family, and its category."""
    attack: Attack = build.make("attacks", text)
    return text.split("(", 1)[0], family_of(type(attack)), attack.category


@cache
def _needs_f(rule: str) -> bool:
    return Need.F in build.make("aggregators", untuned(rule)).needs


def _checked(text: str, family: str, source: str) -> str:
    """Return the canonical text of a picked member."""
    attack = build.make("attacks", text, source)
    if family_of(type(attack)) != family:
        raise UsageError(f"{source!r} holds no picks of a pilot: {text!r} is not of the family {family!r}.")
    return build.text_of(attack)


def _name_of(settings: Settings, dataset: str, model: str, partition: str, malicious: float) -> str:
    return repr((settings, dataset, model, partition, malicious))
