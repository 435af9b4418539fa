"""One round as a rule sees it, with a view that remembers what was read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from robustbench_fl.api import (
    Aggregation,
    Aggregator,
    ClientRecipe,
    Need,
    PreAggregator,
    RootData,
    ServerSpec,
    ServerView,
)
from robustbench_fl.conformance import world
from robustbench_fl.conformance.checks import Violation
from robustbench_fl.core.errors import UndeclaredAccess
from robustbench_fl.core.seeding import stream

MOST_F = 2
"""Malicious clients assumed in a scene, where the rule bears so many."""


@dataclass
class Reads:
    """What a rule read of its view, and what it tried to read without having declared it."""

    granted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    @property
    def needs(self) -> set[Need]:
        """The needs behind what was read."""
        return {ServerView._GATED[name] for name in self.granted}


class WatchedView(ServerView):
    """A server's view that writes down every access, also those whose error the rule swallows."""

    def __init__(self, needs: frozenset[Need], reads: Reads, **given: Any) -> None:
        super().__init__(needs, **given)
        self._reads = reads

    def __getattr__(self, name: str) -> Any:
        """Look `name` up and write it down."""
        if name.startswith("__") or name == "_reads":
            raise AttributeError(name)
        try:
            value = super().__getattr__(name)
        except UndeclaredAccess:
            self._reads.refused.add(name)
            raise
        self._reads.granted.add(name)
        return value

    def narrowed(self, needs: frozenset[Need], **changes: Any) -> ServerView:
        """Return a narrower view that writes into the same book."""
        inner = super().narrowed(needs, **changes)
        return WatchedView(
            inner.needs,
            self._reads,
            round=inner.round,
            rng=inner.rng,
            layer_shapes=inner.layer_shapes,
            **inner._gated,
        )


@dataclass(frozen=True)
class Scene:
    """One round of updates and everything a server could know of it.

    Parameters
    ----------
    updates : Tensor [n, d]
        One row a client.
    clients : tuple of int
        Their senders.
    f : int
        Assumed number of malicious ones.
    round : int
        From 0.
    """

    updates: Tensor
    clients: tuple[int, ...]
    f: int
    round: int = 0

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.updates)

    @property
    def counts(self) -> Tensor:
        """Claimed samples of each row's sender."""
        return world.sample_counts()[list(self.clients)]

    def picked(self, order: list[int]) -> Scene:
        """Return the scene with the rows `order`, senders moved along."""
        return replace(self, updates=self.updates[order], clients=tuple(self.clients[i] for i in order))

    def with_updates(self, updates: Tensor) -> Scene:
        """Return the scene with other rows from the same senders."""
        return replace(self, updates=updates)

    def view(self, needs: frozenset[Need], reads: Reads | None = None) -> WatchedView:
        """Return the round's view for a rule with `needs`; the random stream starts anew."""
        past = world.history()[self.round % world.N_ROUNDS]
        images, labels = world.root_data()
        return WatchedView(
            needs,
            reads or Reads(),
            round=self.round,
            rng=stream("conformance", "server", self.round),
            layer_shapes=world.network().layer_shapes,
            f=self.f,
            root=RootData(
                images=images.clone(), labels=labels.clone(), train=lambda: past.root_update.clone()
            ),
            model=world.network(),
            params=past.params.clone(),
            client_ids=self.clients,
            last_step=None if past.last_step is None else past.last_step.clone(),
            sample_counts=self.counts,
            recipe=ClientRecipe(
                samples=int(self.counts.median()), train=lambda x, y: world.trained_many(past.params, x, y)
            ),
        )


SPEC = ServerSpec(
    n_clients=world.N_CLIENTS,
    n_params=world.network().n_params,
    layer_shapes=world.network().layer_shapes,
)


def bearable(rule: Aggregator | PreAggregator, n: int, most: int = MOST_F) -> int | None:
    """Return the largest f up to `most` that `rule` bears with `n` rows, ``None`` if not even 0."""
    return next((f for f in range(most, -1, -1) if rule.infeasible(n, f) is None), None)


def scene(rule: Aggregator | PreAggregator, round: int = 0, n: int = world.N_CLIENTS) -> Scene:
    """Return round `round` with the first `n` clients, all honest.

    Raises
    ------
    Violation
        If the rule cannot work with so many clients even with f = 0.
    """
    f = bearable(rule, n)
    if f is None:
        raise Violation(f"it refuses {n} clients with f = 0: {rule.infeasible(n, 0)}")
    updates = world.history()[round % world.N_ROUNDS].updates[:n].clone()
    return Scene(updates, tuple(range(n)), f, round)


def play(rule: Aggregator, at: Scene, state: Any, reads: Reads | None = None) -> tuple[Aggregation, Any]:
    """Return what `rule` makes of a scene, on a copy of its updates."""
    return rule.aggregate(at.updates.clone(), at.view(rule.needs, reads), state)


def start(rule: Aggregator | PreAggregator) -> Any:
    """Return the rule's first state."""
    return rule.init_state(SPEC)


def aggregate_of(rule: Aggregator, at: Scene) -> Tensor:
    """Return the aggregate of a scene as a first round, in float64."""
    return play(rule, at, start(rule))[0].aggregate.double()


def longest(updates: Tensor) -> float:
    """Return the largest norm of a row."""
    return float(torch.linalg.vector_norm(updates.double(), dim=1).max())
