"""One round as the malicious clients see it, with a view that remembers what was read."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from torch import Tensor

from robustbench_fl.api import (
    Aggregation,
    Aggregator,
    Attack,
    AttackerView,
    AttackSpec,
    Defence,
    Knowledge,
    Poison,
)
from robustbench_fl.api.build import make
from robustbench_fl.conformance import world
from robustbench_fl.conformance.checks import Violation
from robustbench_fl.conformance.server_scene import Scene, play, start
from robustbench_fl.core.errors import UndeclaredAccess
from robustbench_fl.core.seeding import stream

MALICIOUS = (2, 5, 7)
"""The malicious clients of a scene, unless others are given."""


@dataclass
class Reads:
    """What an attack read of its view, what it tried to read without knowing it, and how it trained."""

    poisons: list[Poison | None] = field(default_factory=list)
    granted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)


class WatchedView(AttackerView):
    """An attacker's view that writes down every access, also those whose error is swallowed."""

    def __init__(self, reads: Reads, knowledge: Knowledge, **given: Any) -> None:
        self._reads = reads
        super().__init__(knowledge, **given)

    def __getattr__(self, name: str) -> Any:
        """Look `name` up and write it down."""
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            value = super().__getattr__(name)
        except UndeclaredAccess:
            self._reads.refused.add(name)
            raise
        self._reads.granted.add(name)
        return value

    @property
    def defence(self) -> Defence:
        """The server's rule, for attacks that declare ``knows_defence``."""
        if self._defence is not None:
            self._reads.granted.add("defence")
        return super().defence


@dataclass(frozen=True)
class Mounted:
    """The malicious part of one round.

    Parameters
    ----------
    malicious : tuple of int
        Malicious participants.
    n : int
        Participants, the clients 0 … n − 1.
    round : int
        From 0.
    """

    malicious: tuple[int, ...] = MALICIOUS
    n: int = world.N_CLIENTS
    round: int = 0

    @property
    def honest(self) -> tuple[int, ...]:
        """The other participants."""
        return tuple(client for client in range(self.n) if client not in self.malicious)

    def view(self, attack: Attack, reads: Reads | None = None, *, trained: bool = True) -> WatchedView:
        """Return what `attack` knows, before the training or after it.

        Like the engine, it hands out the honest rows to attacks that know them only.
        """
        past = world.history()[self.round]
        own = past.updates[list(self.malicious)]
        reads = reads or Reads()

        def train(poison: Poison | None) -> Tensor:
            reads.poisons.append(poison)
            return world.trained_by(self.malicious, self.round, poison)

        seen: dict[str, Any] = {
            "own": own.clone(),
            "colluders": own.clone(),
            "train": train,
            "own_data": lambda j: world.own_data(self.malicious[j]),
        }
        if attack.knowledge >= Knowledge.ALL:
            seen |= {"honest": past.updates[list(self.honest)], "honest_ids": self.honest}
        return WatchedView(
            reads,
            attack.knowledge,
            round=self.round,
            rng=stream("conformance", "attack", self.round),
            n_participants=self.n,
            client_ids=self.malicious,
            spec=self.spec,
            model=world.network(),
            params=past.params.clone(),
            initial_params=world.history()[0].params.clone(),
            last_step=None if past.last_step is None else past.last_step.clone(),
            defence=SceneDefence(self) if trained and attack.knows_defence else None,
            **(seen if trained else {}),
        )

    @property
    def spec(self) -> AttackSpec:
        """What is fixed for the cell."""
        return AttackSpec(
            n_clients=world.N_CLIENTS,
            n_malicious=len(self.malicious),
            n_params=world.network().n_params,
            layer_shapes=world.network().layer_shapes,
            n_classes=world.N_CLASSES,
            image_shape=world.IMAGE_SHAPE,
        )


class SceneDefence(Defence):
    """A server that takes the trimmed mean, in the attacker's hands."""

    def __init__(self, at: Mounted, rule: Aggregator | None = None) -> None:
        self.rule: Aggregator = rule or make("aggregators", "trimmed_mean(trim=0.2)")
        self._at = at

    def aggregate(self, crafted: Tensor) -> Aggregation:
        """Return the server's answer to `crafted` [m, d] in place of the malicious rows."""
        updates = world.history()[self._at.round].updates[: self._at.n].clone()
        updates[list(self._at.malicious)] = crafted
        at = Scene(updates, tuple(range(self._at.n)), 0, self._at.round)
        return play(self.rule, at, start(self.rule))[0]

    def with_rule(self, rule: Aggregator) -> SceneDefence:
        """Return the same server with another rule."""
        return SceneDefence(self._at, rule)


@cache
def specs_of_tasks() -> tuple[AttackSpec, ...]:
    """Return the settings of usual tasks: small, medium and colour images, ten classes and two."""
    return tuple(
        AttackSpec(
            n_clients=20,
            n_malicious=4,
            n_params=world.network().n_params,
            layer_shapes=world.network().layer_shapes,
            n_classes=n_classes,
            image_shape=image_shape,
        )
        for image_shape in ((1, 8, 8), (1, 28, 28), (3, 32, 32))
        for n_classes in (10, 2)
    )


def craft(attack: Attack, at: Mounted, state: Any, reads: Reads | None = None) -> tuple[Tensor, Any]:
    """Return what the malicious clients send."""
    return attack.craft(at.view(attack, reads), state)


def first_state(attack: Attack) -> Any:
    """Return the attack's first state.

    Raises
    ------
    Violation
        If the attack refuses the scene.
    """
    spec = Mounted().spec
    reason = attack.infeasible(spec)
    if reason is not None:
        raise Violation(f"it refuses 3 malicious of 12 clients, 3 classes, 8×8 pixels: {reason}")
    return attack.init_state(spec)
