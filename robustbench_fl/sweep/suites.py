"""Suites: frozen, versioned sets of worlds, attacks and rules, each a file of ``sweeps/suites/``.

A suite has tiers, a tier has blocks, and a block is an ordinary sweep in a folder of its own,
``results/SUITE-TIER/BLOCK``: every command that reads a sweep's folder reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field

from robustbench_fl.core.errors import UsageError, among
from robustbench_fl.core.picks import FEWEST_SEEDS, Strict, read_data
from robustbench_fl.sweep.config import Sweep, make_sweep, parse_seeds, read_sweep

PICKED, DEFAULTS = "picked", "defaults"
"""What a block's attacks are: as a pilot of its own picked them, or as the suite names them."""
T = TypeVar("T", str, bool)
CARRIED = "picks"
"""Folder, within a tier's, of picks that one block has of another."""
_HOMES = (Path(), Path(__file__).resolve().parents[2])
"""Where ``sweeps/`` and ``results/`` are looked for: here, then in the checkout that runs."""
_SUITE_KEYS = frozenset({"name", "version", "about", "pilot_seeds", "tier"})
_TIER_KEYS = ("about", "members", "picks", "block")
_BLOCK_KEYS = ("name", "about", "main", "strengths", "tune", "joins", "open")


@dataclass(frozen=True)
class Block:
    """One world of a tier with what is run there.

    Parameters
    ----------
    name, about : str
        What it is called, also its folder, and what it is, for people.
    main : bool
        Whether it counts in the headline of the tier.
    strengths : str
        :data:`PICKED`, :data:`DEFAULTS`, or the name of the block whose picks hold here too.
    tune : bool
        Whether each rule has a tuned row beside it.
    joins : str
        The block in whose tables its cells stand, since the world is the same; empty for tables of its own.
    open : bool
        Whether a further rule runs here too.
    table : mapping
        The rest: keys and values as of a sweep file.
    """

    name: str
    about: str
    main: bool
    strengths: str
    tune: bool
    joins: str
    open: bool
    table: Mapping[str, Any]

    def sweep(self, overrides: Mapping[str, Any] | None = None) -> Sweep:
        """Return it as a sweep; `overrides` as from flags. Its picks and tuned rules are not named yet."""
        return make_sweep({**self.table, "name": self.name}, overrides or {}, f"the block {self.name!r}")


@dataclass(frozen=True)
class Tier:
    """Blocks that are run and read together.

    Parameters
    ----------
    suite, name, about : str
        Names of the suite and of the tier, and what it is for.
    members : tuple of str
        What a pilot tries: members of the families of the attacks; empty for all that attacks declare.
    picks : int
        Members of a family that a pilot picks at most for a rule and block.
    blocks : tuple of Block
        In the order in which they are run.
    """

    suite: str
    name: str
    about: str
    members: tuple[str, ...]
    picks: int
    blocks: tuple[Block, ...]

    @property
    def full_name(self) -> str:
        """Such as ``rbfl-1-cpu``; names the folder below ``results/``."""
        return f"{self.suite}-{self.name}"

    @property
    def main(self) -> tuple[Block, ...]:
        """The blocks of the headline."""
        return tuple(block for block in self.blocks if block.main)

    def read_with(self, block: Block) -> tuple[Block, ...]:
        """Return the blocks whose cells the tables of `block` are made from: itself first."""
        return (block, *(other for other in self.blocks if other.joins == block.name))

    def block(self, name: str) -> Block:
        """Return a block by name.

        Raises
        ------
        UsageError
            If there is none.
        """
        for block in self.blocks:
            if block.name == name:
                return block
        known = [block.name for block in self.blocks]
        raise UsageError(f"The tier {self.name} of {self.suite} has no block {name!r}. {among(name, known)}")


class Extent(Strict):
    """How much a block runs, and how long that takes in CPU seconds.

    Cells are those that are reported, at most so many; pilot cells are those of pilot and tuning.
    """

    cells: int
    seconds: float
    pilot_cells: int
    pilot_seconds: float


class SuiteTimes(Strict):
    """What a suite's file of times holds."""

    how: str = ""
    """How they were measured, in words."""
    tiers: dict[str, dict[str, Extent]] = Field(default_factory=dict)
    """By tier and block."""


@dataclass(frozen=True)
class Suite:
    """A suite as its file says.

    Parameters
    ----------
    name, about : str
        What it is called, and what it is for.
    version : int
        Raised with every change of what is run; then the name is another one too.
    digest : str
        12 hex digits of all that the file says but texts for people.
    pilot_seeds : tuple of int
        Seeds on which strengths and parameters are picked, never reported.
    tiers : tuple of Tier
        In order.
    times : SuiteTimes
        How long its tiers take, where that was measured.
    """

    name: str
    about: str
    version: int
    digest: str
    pilot_seeds: tuple[int, ...]
    tiers: tuple[Tier, ...]
    times: SuiteTimes

    def tier(self, name: str) -> Tier:
        """Return a tier by name.

        Raises
        ------
        UsageError
            If there is none.
        """
        for tier in self.tiers:
            if tier.name == name:
                return tier
        raise UsageError(f"{self.name} has no tier {name!r}. {among(name, [t.name for t in self.tiers])}")

    def extent(self, tier: Tier, block: Block) -> Extent | None:
        """Return how long a block takes, if that was measured."""
        return self.times.tiers.get(tier.name, {}).get(block.name)

    def mark(self, tier: Tier, block: Block, on: str = "") -> dict[str, str | int]:
        """Return what the provenance of a cell says; `on` names data that is not the suite's."""
        name = f"{self.name} on {on}" if on else self.name
        found: dict[str, str | int] = {"name": name, "version": self.version, "digest": self.digest}
        return {**found, "tier": tier.name, "block": block.name}


def suites() -> list[str]:
    """Return the names of the suites that are here, sorted."""
    return sorted({path.stem for home in _HOMES for path in _folder(home).glob("*.toml")})


def read_suite(name: str) -> Suite:
    """Return the suite `name`, or the one in the file of that path.

    Raises
    ------
    UsageError
        If there is none, or its file says what no suite says.
    """
    places = [Path(name)] if name.endswith(".toml") else [_folder(home) / f"{name}.toml" for home in _HOMES]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UsageError(f"There is no suite {name!r}. {among(name, suites())} They lie in sweeps/suites.")
    held, times = path.with_suffix(".times.json"), SuiteTimes()
    if held.is_file():
        times = read_data(held, SuiteTimes, "times of a suite", "tier", "sweeps/suites/time.py")
    return _suite(read_sweep(path), path.name, times)


def stored_at(tier: Tier) -> Path:
    """Return the folder of a tier's results, ``results/SUITE-TIER``: here, else in the checkout that runs."""
    places = [home / "results" / tier.full_name for home in _HOMES]
    return next((place for place in places if place.is_dir()), places[0])


def blocks_of(tier: Tier, names: Iterable[str]) -> tuple[Block, ...]:
    """Return the named blocks of a tier in its order, all of them if none is named."""
    wanted = {tier.block(name).name for name in names}
    return tuple(block for block in tier.blocks if not wanted or block.name in wanted)


def _folder(home: Path) -> Path:
    return home / "sweeps" / "suites"


def _suite(table: Mapping[str, Any], where: str, times: SuiteTimes) -> Suite:
    _known(table, _SUITE_KEYS, where)
    tiers, version = table.get("tier"), table.get("version")
    name = _field(table, "name", "", where)
    seeds = tuple(parse_seeds(table.get("pilot_seeds", "1000:1004"), "pilot_seeds"))
    if type(version) is not int or not isinstance(tiers, dict) or not tiers:
        raise UsageError(f"{where} is no suite: it needs a whole number as version, and [tier.NAME] tables.")
    if len(set(seeds)) < FEWEST_SEEDS:
        raise UsageError(f"pilot_seeds in {where}: a pilot takes at least {FEWEST_SEEDS} seeds.")
    found = tuple(_tier(name, tier, raw, f"{where}, tier {tier}") for tier, raw in tiers.items())
    return Suite(name, _text(table, where), version, _digest(table), seeds, found, times)


def _tier(suite: str, name: str, table: Any, where: str) -> Tier:
    if not isinstance(table, dict) or not isinstance(table.get("block"), list):
        raise UsageError(f"{where}: a tier has [[tier.{name}.block]] tables.")
    picks, members = table.get("picks", 2), table.get("members", [])
    texts = isinstance(members, list) and all(isinstance(member, str) for member in members)
    if type(picks) is not int or picks < 1 or not texts:
        raise UsageError(f"{where}: picks is a whole number from 1, members a list of attacks.")
    shared = {key: value for key, value in table.items() if key not in _TIER_KEYS}
    blocks = tuple(_block(shared, raw, where) for raw in table["block"])
    tier = Tier(suite, name, _text(table, where), tuple(members), picks, blocks)
    if len({block.name for block in blocks}) < len(blocks):
        raise UsageError(f"{where}: two blocks have the same name.")
    for block in blocks:
        if block.joins and tier.block(block.joins).joins:
            raise UsageError(f"{where}: {block.name} joins a block that joins another one.")
        if block.strengths in (PICKED, DEFAULTS):
            continue
        if tier.block(block.strengths).strengths != PICKED:
            raise UsageError(f"{where}: {block.name} takes strengths of a block that picks none.")
    return tier


def _block(shared: Mapping[str, Any], table: Any, where: str) -> Block:
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise UsageError(f"{where}: every block needs a name.")
    name = table["name"]
    of_block = f"{where}, block {name}"
    rest = {key: value for key, value in table.items() if key not in _BLOCK_KEYS}
    if "local_steps" in rest or "local_epochs" in rest:
        shared = {key: value for key, value in shared.items() if key not in ("local_steps", "local_epochs")}
    block = Block(
        name,
        _text(table, of_block),
        _field(table, "main", False, of_block),
        _field(table, "strengths", PICKED, of_block),
        _field(table, "tune", False, of_block),
        _field(table, "joins", "", of_block),
        _field(table, "open", True, of_block),
        {**shared, **rest},
    )
    block.sweep()  # so that what is wrong with it is said now
    return block


def _known(table: Mapping[str, Any], keys: frozenset[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise UsageError(f"Unknown key {key!r} in {where}. {among(key, sorted(keys))}")


def _text(table: Mapping[str, Any], where: str) -> str:
    return " ".join(_field(table, "about", "", where).split())


def _field(table: Mapping[str, Any], key: str, default: T, where: str) -> T:
    """Return the value of a key, of the type that its `default` has."""
    value = table.get(key, default)
    if type(value) is not type(default):
        wanted = "true or false, without quotes" if isinstance(default, bool) else "a text"
        raise UsageError(f"{key} in {where} is {wanted}; got {value!r}.")
    return value


def _digest(table: Any) -> str:
    """Return 12 hex digits of a file's content, whatever its layout, comments and texts for people."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(held) for key, held in value.items() if key != "about"}
        return [bare(held) for held in value] if isinstance(value, list) else value

    text = json.dumps(bare(table), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def with_picks(sweep: Sweep, pilot: Path | None = None, tuned: Path | None = None) -> Sweep:
    """Return the sweep of a block with the files that say what it runs beyond what it names."""
    changed = {"pilot": pilot, "tuned_rules": tuned}
    return sweep.model_copy(update={name: path for name, path in changed.items() if path})
