"""Rules with a memory: checkpoints, and clients that come and go."""

from __future__ import annotations

from typing import Any

from robustbench_fl.api import Aggregator
from robustbench_fl.conformance import world
from robustbench_fl.conformance.checks import check, require
from robustbench_fl.conformance.comparing import require_same, tensors_of
from robustbench_fl.conformance.courses import course_of_rule
from robustbench_fl.conformance.rule_contract import require_vector
from robustbench_fl.conformance.server_scene import Scene, bearable, play, start

_ABSENCES = (
    tuple(range(12)),
    (9, 0, 4, 2, 8, 6, 10),
    (11, 1, 3, 5, 7, 9, 0, 2),
    (3, 10, 6, 8, 1, 0, 11, 5, 4, 2, 9, 7),
)
"""Who takes part in four rounds, in which order."""


def _remembers(rule: Aggregator) -> bool:
    return start(rule) is not None


@check("aggregators", applies=_remembers)
def check_checkpoint(rule: Aggregator) -> None:
    """A state that went through to_tensors and from_tensors continues with the same bits."""
    for round, call in enumerate(course_of_rule(rule)[0]):
        restored = start(rule).from_tensors({name: tensor.clone() for name, tensor in call.before.items()})
        again, following = play(rule, call.at, restored)
        require_same(tensors_of(call.result), tensors_of(again), f"round {round} after a checkpoint")
        require_same(
            tensors_of(call.following),
            tensors_of(following),
            f"the state of round {round} after a checkpoint",
        )


@check("aggregators", applies=_remembers)
def check_absences(rule: Aggregator) -> None:
    """Clients may miss rounds and come back in another order; the memory follows the client, not the row."""
    state = sorted_state = start(rule)
    for round, clients in enumerate(_ABSENCES):
        if bearable(rule, len(clients)) is None:
            continue
        at = _with_clients(rule, round, clients)
        outcome, state = play(rule, at, state)
        require_vector(outcome.aggregate, at)
        if round == 0 and clients == tuple(sorted(clients)):
            sorted_state = state
            continue
        in_order = _with_clients(rule, round, tuple(sorted(clients)))
        expected, sorted_state = play(rule, in_order, sorted_state)
        gap = float((outcome.aggregate - expected.aggregate).norm())
        size = float(expected.aggregate.norm())
        require(
            gap <= 1e-3 * max(size, 1e-9),
            f"round {round}: another order of the rows moves the aggregate by {gap:.2g} of {size:.2g}",
        )


def _with_clients(rule: Aggregator, round: int, clients: tuple[int, ...]) -> Scene:
    f: Any = bearable(rule, len(clients))
    return Scene(world.history()[round].updates[list(clients)].clone(), clients, f, round)
