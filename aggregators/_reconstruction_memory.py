"""What FedREDefense remembers of each client from round to round."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import torch

from robustbench_fl.aggregators._reconstruction import Reconstruction
from robustbench_fl.api import State

if TYPE_CHECKING:
    from torch import Tensor

FOREVER = -1
"""Round in which a ban for good ends."""
Retest = int | Literal["never"]
"""Tests passed in a row after which a client starts from fresh synthetic data."""


@dataclass(frozen=True, kw_only=True)
class FedREDefenseState(State):
    """What the server keeps of each client: its synthetic data, and whether it is trusted.

    Parameters
    ----------
    initial : Tensor [C, ...] or None
        The first synthetic images of every client, drawn once.
    spare : Tensor [C, ...] or None
        A second draw, for restarts.
    images, labels, steps, norms : dict
        Images, label logits, step size and update's norm of clients that passed their last test.
    tests : dict
        Tests passed in a row since a client last started from fresh synthetic data.
    banned : dict
        First round in which a banned client is judged again, −1 for never.
    evidence : dict
        Log-likelihood ratio of the sequential test, at least 0.
    origin : Tensor [P] or None
        Global parameters of the first round, where a direction is told by them.
    slack : float
        Length of the sum over the classes that an update may have; follows from virtual clients.
    spikes : dict
        Round of the last update of clients in which it was too long.
    rest : State or None
        State of the rule for the clients that are left.
    """

    initial: Tensor | None = None
    spare: Tensor | None = None
    images: dict[int, Tensor] = field(default_factory=dict)
    labels: dict[int, Tensor] = field(default_factory=dict)
    steps: dict[int, float] = field(default_factory=dict)
    norms: dict[int, float] = field(default_factory=dict)
    tests: dict[int, int] = field(default_factory=dict)
    banned: dict[int, int] = field(default_factory=dict)
    evidence: dict[int, float] = field(default_factory=dict)
    origin: Tensor | None = None
    slack: float = 0.0
    spikes: dict[int, int] = field(default_factory=dict)
    rest: State | None = None


def is_banned(state: FedREDefenseState, client: int, round: int) -> bool:
    """Whether `client` is not judged in `round`."""
    until = state.banned.get(client, round)
    return until == FOREVER or until > round


def starts_anew(state: FedREDefenseState, client: int, retest: Retest) -> bool:
    """Whether `client` starts from fresh synthetic data, having none of its own or being due again."""
    tests = state.tests.get(client, 0)
    return not tests or (retest != "never" and tests >= retest)


def forget(state: FedREDefenseState, who: list[int]) -> FedREDefenseState:
    """Return the state without the synthetic data of clients that start anew if ever judged again."""

    def without(kept: dict[int, Any]) -> dict[int, Any]:
        return {client: value for client, value in kept.items() if client not in who}

    return replace(
        state,
        images=without(state.images),
        labels=without(state.labels),
        steps=without(state.steps),
        norms=without(state.norms),
        tests=without(state.tests),
    )


def remember(
    state: FedREDefenseState,
    found: Reconstruction,
    updates: Tensor,
    who: list[int],
    failed: list[bool],
    retest: Retest,
) -> FedREDefenseState:
    """Keep the synthetic data of those who passed; who failed starts anew if ever judged again.

    Parameters
    ----------
    state : FedREDefenseState
        Before the round. Never changed.
    found : Reconstruction
        Of the n clients that were reconstructed.
    updates : Tensor [n, P]
        Their updates.
    who, failed : list
        Their ids, and whether they failed.
    retest : int or "never"
        Tests after which a client starts anew.
    """
    state = forget(state, [client for client, fails in zip(who, failed, strict=True) if fails])
    images, labels = dict(state.images), dict(state.labels)
    steps, norms, tests = dict(state.steps), dict(state.norms), dict(state.tests)
    lengths = torch.linalg.vector_norm(updates, dim=1).tolist()
    for row, client in enumerate(who):
        if not failed[row]:
            tests[client] = 1 if starts_anew(state, client, retest) else state.tests[client] + 1
            images[client] = found.images[row].clone()
            labels[client] = found.labels[row].clone()
            steps[client] = float(found.steps[row])
            norms[client] = lengths[row]
    return replace(state, images=images, labels=labels, steps=steps, norms=norms, tests=tests)
