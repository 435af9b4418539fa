"""One grid point: what it is, and the key under which its outcome is stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robustbench_fl.core.settings import ADDED, Settings

KEY_SCHEMA = 1
"""Part of every key; it stays as it is when the schema of the records is raised."""

ENGINE_VERSION = 1
"""Raised whenever the simulation's numbers change."""

_ABSENT = object()

ASSUMED_F = {"exact": 1.0, "0.5x": 0.5, "2x": 2.0, "none": None}
"""What the server believes: the true share of malicious clients times this, or nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One simulation: a world, a rule, an attack.

    Methods are given as canonical texts, so that a cell travels between processes and machines
    as plain data. A plan of 100,000 cells is held in memory: what cells share is one object.

    Parameters
    ----------
    dataset, model, partition, aggregator, attack : str
        The methods.
    malicious : float
        Share of malicious clients, in [0, 1).
    assumed_f : str, optional
        What the server believes of it, a key of :data:`ASSUMED_F`; ``None`` for rules that need no f.
    seed : int
        Of the world.
    settings : Settings
        The rest.
    methods : mapping
        The methods' part of the identity: names, versions and all parameters, defaults resolved.

    Attributes
    ----------
    key : str
        First 16 hex digits of the SHA-256 of the identity's canonical JSON.
    """

    dataset: str
    model: str
    partition: str
    aggregator: str
    attack: str
    malicious: float
    assumed_f: str | None
    seed: int
    settings: Settings
    methods: Mapping[str, Any] = field(compare=False, repr=False)
    key: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", key_of(self.identity))

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that changes the outcome, defaults resolved; made anew at each call."""
        point = {"malicious": self.malicious, "assumed_f": self.assumed_f, "seed": self.seed}
        return identity(self.methods, point, self.settings)

    @property
    def labels(self) -> dict[str, str]:
        """Canonical texts of the methods."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "partition": self.partition,
            "aggregator": self.aggregator,
            "attack": self.attack,
        }

    @property
    def n_malicious(self) -> int:
        """Malicious clients of the federation; none under the attack ``none``."""
        return round(self.malicious * self.settings.clients) if self.attack_name != "none" else 0

    @property
    def attack_name(self) -> str:
        """The attack's name without parameters."""
        return self.attack.split("(", 1)[0]

    def assumed(self, n_participants: int) -> int | None:
        """Return the f the server assumes in a round of `n_participants`, ``None`` if it assumes nothing."""
        factor = ASSUMED_F[self.assumed_f] if self.assumed_f else None
        return (
            None if factor is None else min(round(factor * self.malicious * n_participants), n_participants)
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """A cell of the plan.

    Parameters
    ----------
    cell : Cell
        The grid point.
    facts : mapping
        What tables say about its methods (:class:`~robustbench_fl.core.record.Facts`).
    infeasible : str, optional
        Why it cannot run.
    kept_of : tuple of str
        Methods that have been edited since its result, which the user wants to keep.
    stands_for : tuple of (str, float)
        Rules and learning rates that it stands for, where these are not its own alone: tuned rules.
    """

    cell: Cell
    facts: Mapping[str, Any]
    infeasible: str | None = None
    kept_of: tuple[str, ...] = ()
    stands_for: tuple[tuple[str, float], ...] = ()

    @property
    def rows(self) -> tuple[tuple[str, float], ...]:
        """The rules as tables name them, and the learning rates of the sweep, that the cell stands for."""
        return self.stands_for or ((self.cell.aggregator, self.cell.settings.lr),)


@dataclass(frozen=True)
class World:
    """What decides who holds which data: cells that agree in it are comparable pair by pair."""

    dataset: str
    partition: str
    seed: int
    clients: int
    root_size: int | None
    validation: float

    @classmethod
    def of(cls, cell: Cell) -> World:
        """Return the world of `cell`."""
        held = cell.settings
        return cls(cell.dataset, cell.partition, cell.seed, held.clients, held.root_size, held.validation)


def key_of(identity: Mapping[str, Any]) -> str:
    """Return the key of the cell with this identity.

    Raises
    ------
    ValueError
        If it holds a number that is not finite.
    """
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def identity(methods: Mapping[str, Any], cell: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return a cell's identity.

    Parameters
    ----------
    methods : mapping
        Identities of data set, model, partition, aggregator (a list) and attack.
    cell : mapping
        ``malicious``, ``assumed_f`` and ``seed``.
    settings : Settings
        The rest; those of :data:`ADDED` only where they differ from it.
    """
    stated = {name: value for name, value in vars(settings).items() if ADDED.get(name, _ABSENT) != value}
    return {
        "schema": KEY_SCHEMA,
        "engine": ENGINE_VERSION,
        **methods,
        **stated,
        **cell,
    }
