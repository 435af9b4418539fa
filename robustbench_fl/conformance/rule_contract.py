"""Every rule: what it returns, and what it must leave alone."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import Aggregation, Aggregator, Need, State
from robustbench_fl.conformance import world
from robustbench_fl.conformance.checks import check, require
from robustbench_fl.conformance.comparing import copied, require_same, tensors_of
from robustbench_fl.conformance.courses import course_of_rule
from robustbench_fl.conformance.server_scene import Scene, bearable, play, scene, start
from robustbench_fl.core.seeding import stream, torch_generator

_TOLERANCE = 1e-4


@check("aggregators")
def check_output(rule: Aggregator) -> None:
    """The aggregate is a finite float32 vector on the updates' device, and the rest is per client."""
    call = course_of_rule(rule)[0][0]
    at, outcome, state = call.at, call.result, call.following
    require_vector(outcome.aggregate, at)
    _require_per_client(outcome, at.n)
    require(
        outcome.rejected is not None or not rule.detector, "it declares `detector`, but returns no `rejected`"
    )
    require(
        state is None or isinstance(state, State),
        f"its state is a {type(state).__name__}, not a State or None",
    )
    require(
        (state is None) == (start(rule) is None),
        f"init_state gives {type(start(rule)).__name__} and aggregate {type(state).__name__} as the state",
    )


@check("aggregators")
def check_verdicts_agree(rule: Aggregator) -> None:
    """Weights reproduce the aggregate, and no rejected or unselected client has weight."""
    call = course_of_rule(rule)[0][0]
    at, outcome = call.at, call.result
    nobody = torch.zeros(at.n, dtype=torch.bool)
    weights, rejected = outcome.weights, nobody if outcome.rejected is None else outcome.rejected
    if outcome.selected is not None:
        require(not (outcome.selected & rejected).any(), "a client is both selected and rejected")
    if weights is None:
        return
    used = weights != 0
    require(not (used & rejected).any(), "a rejected client has weight in the aggregate")
    require(
        outcome.selected is None or not (used & ~outcome.selected).any(), "an unselected client has weight"
    )
    gap = float((weights.double() @ at.updates.double() - outcome.aggregate.double()).norm())
    size = float(outcome.aggregate.double().norm())
    require(
        gap <= _TOLERANCE * max(size, 1e-12),
        f"weights @ updates misses the aggregate by {gap:.2g} of {size:.2g}",
    )


@check("aggregators")
def check_inputs_unchanged(rule: Aggregator) -> None:
    """Neither the updates nor anything in the view is changed."""
    at = scene(rule, round=1)
    rows = at.updates.clone()
    view = at.view(rule.needs)
    given = {name: value for name, value in view._gated.items() if isinstance(value, Tensor)}
    before = copied_all(given)
    rule.aggregate(at.updates, view, start(rule))
    require_same({"updates": rows}, {"updates": at.updates}, "it changed its input")
    require_same(before, given, "it changed its view")


@check("aggregators")
def check_repeatable(rule: Aggregator) -> None:
    """The same updates, stream and state give the same bits again, and the state is not changed."""
    for round, first in enumerate(course_of_rule(rule)[0][:-1]):
        second, following = play(rule, first.at, first.state)
        require_same(first.before, tensors_of(first.state), f"round {round} changed the state it was given")
        require_same(tensors_of(first.result), tensors_of(second), f"a second call in round {round}")
        require_same(
            tensors_of(first.following),
            tensors_of(following),
            f"the state after a second call in round {round}",
        )


@check("aggregators")
def check_owns_its_results(rule: Aggregator) -> None:
    """Aggregate and state share no memory with the updates, which the caller may overwrite."""
    at = scene(rule)
    outcome, state = rule.aggregate(at.updates, at.view(rule.needs), start(rule))
    before = copied(outcome), copied(state)
    at.updates.fill_(torch.nan)
    require_same(before[0], tensors_of(outcome), "overwriting the updates afterwards changes the result")
    require_same(before[1], tensors_of(state), "overwriting the updates afterwards changes the state")


@check("aggregators")
def check_no_global_randomness(rule: Aggregator) -> None:
    """Randomness comes from the view's stream alone; no global generator is read or seeded."""
    with_untouched_generators(lambda: play(rule, scene(rule), start(rule)))


@check("aggregators")
def check_permutation(rule: Aggregator) -> None:
    """Permuting the clients leaves the aggregate and permutes whatever is said of each."""
    order = [7, 3, 11, 0, 5, 9, 1, 10, 2, 8, 4, 6]
    moved_state = start(rule)
    for round, call in enumerate(course_of_rule(rule)[0][:2]):
        moved, moved_state = play(rule, call.at.picked(order), moved_state)
        for name, value in tensors_of(call.result).items():
            expected = value if name == "aggregate" else value[order]
            _require_close(expected, tensors_of(moved)[name], f"round {round}: `{name}` of permuted clients")


@check("aggregators")
def check_every_size(rule: Aggregator) -> None:
    """With 1 to 12 clients and any f it either gives a finite aggregate or a reason with numbers."""
    for n in range(1, world.N_CLIENTS + 1):
        for f in range(n + 1 if Need.F in rule.needs else 1):
            reason = rule.infeasible(n, f)
            if reason is not None:
                require(
                    re.search(r"\d", reason), f"why n = {n}, f = {f} is infeasible has no number: {reason!r}"
                )
                continue
            updates = world.history()[0].updates[:n].clone()
            at = Scene(updates, tuple(range(n)), f)
            try:
                outcome, _ = play(rule, at, start(rule))
                require_vector(outcome.aggregate, at)
                _require_per_client(outcome, n)
            except Exception as error:
                message = f"feasible by its own account, yet {type(error).__name__}: {error}"
                require(False, f"n = {n}, f = {f}: {message}")


@check("aggregators")
def check_works_at_small_f(rule: Aggregator) -> None:
    """It bears f = 1 among twelve clients, so that it can be compared at all."""
    f = bearable(rule, world.N_CLIENTS, most=1)
    require(f == 1, f"with 12 clients and f = 1: {rule.infeasible(world.N_CLIENTS, 1)}")


def require_vector(aggregate: Tensor, at: Scene) -> None:
    """Raise unless `aggregate` is one finite float32 row like those of the scene."""
    shape = (at.updates.shape[1],)
    require(
        aggregate.shape == shape, f"the aggregate is {list(aggregate.shape)}, not [n_params] = {list(shape)}"
    )
    require(
        aggregate.dtype == at.updates.dtype,
        f"the aggregate is {aggregate.dtype}, the updates {at.updates.dtype}",
    )
    require(aggregate.device == at.updates.device, f"the aggregate is on {aggregate.device}")
    require(torch.isfinite(aggregate).all(), "the aggregate is not finite")
    require(not aggregate.requires_grad, "the aggregate drags an autograd graph along; detach it")


def copied_all(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return copies."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


def with_untouched_generators(action: Callable[[], object]) -> None:
    """Run `action` and raise if it moves the global generator of torch or NumPy; both are restored."""
    legacy = np.random.mtrand._rand
    kept = torch.get_rng_state(), legacy.get_state(legacy=False)
    # A state that no seeding of the method's own could restore by accident.
    unusual = stream("conformance", "generators")
    torch.set_rng_state(torch_generator(unusual).get_state())
    legacy.set_state(np.random.RandomState(unusual.integers(2**32)).get_state())
    before = torch.get_rng_state(), str(legacy.get_state(legacy=False))
    try:
        action()
        torch_moved = not torch.equal(before[0], torch.get_rng_state())
        numpy_moved = before[1] != str(legacy.get_state(legacy=False))
    finally:
        torch.set_rng_state(kept[0])
        legacy.set_state(kept[1])
    require(not torch_moved, "it used torch's global generator; take view.rng")
    require(not numpy_moved, "it used NumPy's global generator; take view.rng")


def _require_per_client(outcome: Aggregation, n: int) -> None:
    for name, value in tensors_of(outcome).items():
        if name == "aggregate":
            continue
        require(
            value.shape == (n,), f"`{name}` is {list(value.shape)}, not one number for each of {n} clients"
        )
        if name in ("selected", "rejected"):
            require(value.dtype == torch.bool, f"`{name}` is {value.dtype}, not bool")
        if name in ("weights", "scores"):
            require(not torch.isnan(value).any(), f"`{name}` holds NaN")


def _require_close(expected: Tensor, found: Tensor, what: str) -> None:
    if expected.dtype == torch.bool:
        require(torch.equal(expected, found), f"{what}: {_where(expected, found)}")
        return
    finite = torch.isfinite(expected)
    require(torch.equal(finite, torch.isfinite(found)), f"{what} is finite elsewhere")
    a, b = expected[finite].double(), found[finite].double()
    gap, size = float((a - b).norm()), float(a.norm())
    require(gap <= _TOLERANCE * max(size, 1e-9), f"{what} is off by {gap:.2g}, itself of size {size:.2g}")


def _where(expected: Tensor, found: Tensor) -> str:
    return f"expected {expected.int().tolist()}, got {found.int().tolist()}"
