"""The honest course of a scene, run once for all checks that look at what comes of it.

A check that is about the calls themselves (what they change, what they draw, whether they repeat)
makes calls of its own. What is in here is shared, and nobody may change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor

from robustbench_fl.api import Aggregator, Attack
from robustbench_fl.conformance import attack_scene, server_scene, world
from robustbench_fl.conformance.comparing import copied

_KEPT = 64
"""Courses that are kept: more than a method has variants."""


@dataclass(frozen=True)
class Call:
    """One call of ``aggregate`` or ``craft``.

    Parameters
    ----------
    at : Scene or Mounted
        The round.
    state : State or None
        What was given.
    before : dict of Tensor
        Copies of its tensors, made before the call.
    result : Aggregation or Tensor [m, d]
        The outcome, or the rows sent.
    following : State or None
        The state returned.
    """

    at: Any
    state: Any
    before: dict[str, Tensor]
    result: Any
    following: Any


@lru_cache(maxsize=_KEPT)
def course_of_rule(rule: Aggregator) -> tuple[tuple[Call, ...], server_scene.Reads]:
    """Return the call of every round, and what `rule` read in them."""
    reads, state = server_scene.Reads(), server_scene.start(rule)
    calls: list[Call] = []
    for round in range(world.N_ROUNDS):
        at, before = server_scene.scene(rule, round), copied(state)
        outcome, following = server_scene.play(rule, at, state, reads)
        calls.append(Call(at, state, before, outcome, following))
        state = following
    return tuple(calls), reads


@lru_cache(maxsize=_KEPT)
def course_of_attack(attack: Attack) -> tuple[tuple[Call, ...], attack_scene.Reads]:
    """Return the call of every round, and what `attack` read before and after the training."""
    reads, state = attack_scene.Reads(), attack_scene.first_state(attack)
    calls: list[Call] = []
    for round in range(world.N_ROUNDS):
        at, before = attack_scene.Mounted(round=round), copied(state)
        attack.poison(at.view(attack, reads, trained=False))
        rows, following = attack_scene.craft(attack, at, state, reads)
        calls.append(Call(at, state, before, rows, following))
        state = following
    return tuple(calls), reads


def first_aggregate(rule: Aggregator) -> Tensor:
    """Return the first aggregate of the honest course, in float64 [d]."""
    aggregate: Tensor = course_of_rule(rule)[0][0].result.aggregate
    return aggregate.double()
