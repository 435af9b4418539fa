"""Pre-aggregators: the weights they return, and what comes out in front of a rule."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from robustbench_fl.api import Aggregator, Need, PreAggregator, State
from robustbench_fl.api.build import make
from robustbench_fl.api.pipeline import Pipeline
from robustbench_fl.conformance import world
from robustbench_fl.conformance.checks import check, listing, require
from robustbench_fl.conformance.comparing import copied, require_same, same_bits, tensors_of
from robustbench_fl.conformance.rule_contract import copied_all, require_vector, with_untouched_generators
from robustbench_fl.conformance.server_scene import Reads, Scene, longest, play, scene, start

_TOLERANCE = 1e-4


@check("pre-aggregators")
def check_weights(stage: PreAggregator) -> None:
    """The weights are finite float32, [n_rows, n] or [n], and lengthen no update."""
    at = scene(stage)
    weights, state = _mixing(stage, at, start(stage))
    _require_weights(stage, weights, at)
    require(
        state is None or isinstance(state, State),
        f"its state is a {type(state).__name__}, not a State or None",
    )
    before, after = longest(at.updates), longest(_rows(weights, at.updates))
    require(
        after <= before * (1 + _TOLERANCE),
        f"a row of norm {after:.4g} comes out, the longest was {before:.4g}",
    )


@check("pre-aggregators")
def check_inputs_unchanged(stage: PreAggregator) -> None:
    """Neither the updates nor anything in the view is changed."""
    at = scene(stage, round=1)
    rows, view = at.updates.clone(), at.view(stage.needs)
    given = {name: value for name, value in view._gated.items() if isinstance(value, Tensor)}
    before = copied_all(given)
    stage.mixing(at.updates, view, start(stage))
    require_same({"updates": rows}, {"updates": at.updates}, "it changed its input")
    require_same(before, given, "it changed its view")


@check("pre-aggregators")
def check_repeatable(stage: PreAggregator) -> None:
    """The same updates, stream and state give the same bits again, and the state is not changed."""
    state = start(stage)
    for round in range(2):
        at = scene(stage, round)
        before = copied(state)
        first, following = _mixing(stage, at, state)
        second, _ = _mixing(stage, at, state)
        require(same_bits(first, second), f"a second call in round {round} gives other weights")
        require_same(before, tensors_of(state), f"round {round} changed the state it was given")
        state = following


@check("pre-aggregators")
def check_no_global_randomness(stage: PreAggregator) -> None:
    """Randomness comes from the view's stream alone; no global generator is read or seeded."""
    with_untouched_generators(lambda: _mixing(stage, scene(stage), start(stage)))


@check("pre-aggregators")
def check_permutation(stage: PreAggregator) -> None:
    """Permuting the clients permutes the mixed rows along, or leaves them where rows stand for groups."""
    order = [7, 3, 11, 0, 5, 9, 1, 10, 2, 8, 4, 6]
    at = scene(stage)
    rows = _rows(_mixing(stage, at, start(stage))[0], at.updates)
    moved_scene = at.picked(order)
    moved = _rows(_mixing(stage, moved_scene, start(stage))[0], moved_scene.updates)
    expected = rows[order] if stage.keeps_clients else rows
    gap = float((moved - expected).norm() / expected.norm())
    require(gap <= _TOLERANCE, f"rows of permuted clients are off by {gap:.2g} (relative)")


@check("pre-aggregators", across=True)
def check_needs(forms: tuple[PreAggregator, ...]) -> None:
    """What is read of the view is declared in `needs`, and what is declared is read."""
    declared, used = frozenset[Need]().union(*(stage.needs for stage in forms)), set[Need]()
    for stage in forms:
        reads = Reads()
        at = scene(stage)
        stage.mixing(at.updates, at.view(stage.needs, reads), start(stage))
        require(
            not reads.refused,
            f"it read view.{listing(sorted(reads.refused))} without declaring it in `needs`",
        )
        used |= reads.needs
    idle = sorted(need.name for need in declared - used)
    require(not idle, f"it declares Need.{listing(idle)} in `needs`, but never uses it")


@check("pre-aggregators")
def check_identical_updates(stage: PreAggregator) -> None:
    """Equal updates come out as they went in, whatever their number."""
    for n in (1, 5, world.N_CLIENTS):
        if stage.infeasible(n, 0) is not None:
            continue
        at = scene(stage, n=n)
        row = at.updates[0].clone()
        same = at.with_updates(row.repeat(n, 1))
        gap = float(
            (_rows(_mixing(stage, same, start(stage))[0], same.updates) - row).norm(dim=1).max() / row.norm()
        )
        require(gap <= _TOLERANCE, f"{n} equal updates come out different by {gap:.2g} (relative)")


@check("pre-aggregators")
def check_every_size(stage: PreAggregator) -> None:
    """With 1 to 12 clients and any f it either gives weights for n_rows rows or a reason with numbers."""
    for n in range(1, world.N_CLIENTS + 1):
        for f in range(n + 1 if Need.F in stage.needs else 1):
            reason = stage.infeasible(n, f)
            if reason is not None:
                require(
                    re.search(r"\d", reason), f"why n = {n}, f = {f} is infeasible has no number: {reason!r}"
                )
                continue
            at = Scene(world.history()[0].updates[:n].clone(), tuple(range(n)), f)
            try:
                _require_weights(stage, _mixing(stage, at, start(stage))[0], at)
            except Exception as error:
                message = f"feasible by its own account, yet {type(error).__name__}: {error}"
                require(False, f"n = {n}, f = {f}: {message}")


@check("pre-aggregators")
def check_huge_and_zero_rows(stage: PreAggregator) -> None:
    """Rows of 1e30 and rows of zeros do not make the weights non-finite."""
    at = scene(stage)
    for value in (1e30, -1e30, 0.0):
        for count in (1, max(1, at.f), at.n):
            updates = at.updates.clone()
            updates[:count] = value
            hostile = at.with_updates(updates)
            _require_weights(stage, _mixing(stage, hostile, start(stage))[0], hostile)


@check("pre-aggregators")
def check_in_front_of_rules(stage: PreAggregator) -> None:
    """It composes with a coordinate-wise rule, a rule with verdicts, and itself."""
    for rule in (make("aggregators", "median"), make("aggregators", "multi_krum")):
        for stages in ((stage,), (stage, stage)):
            _require_composes(Pipeline(stages=stages, rule=rule))


def _require_composes(pipeline: Aggregator) -> None:
    f = next((f for f in (2, 1, 0) if pipeline.infeasible(world.N_CLIENTS, f) is None), None)
    if f is None:
        return
    at = Scene(world.history()[0].updates.clone(), tuple(range(world.N_CLIENTS)), f)
    outcome, _ = play(pipeline, at, start(pipeline))
    require_vector(outcome.aggregate, at)
    for name, value in tensors_of(outcome).items():
        require(
            name == "aggregate" or len(value) == at.n, f"`{name}` has {len(value)} values for {at.n} clients"
        )


def _mixing(stage: PreAggregator, at: Scene, state: Any) -> tuple[Tensor, Any]:
    return stage.mixing(at.updates.clone(), at.view(stage.needs), state)


def _rows(weights: Tensor, updates: Tensor) -> Tensor:
    rows: Tensor = weights[:, None] * updates if weights.ndim == 1 else weights @ updates
    return rows


def _require_weights(stage: PreAggregator, weights: Tensor, at: Scene) -> None:
    wanted = [(stage.n_rows(at.n), at.n)] + ([(at.n,)] if stage.n_rows(at.n) == at.n else [])
    require(
        tuple(weights.shape) in wanted,
        f"weights are {list(weights.shape)}, not {listing([list(w) for w in wanted])}",
    )
    require(weights.dtype == at.updates.dtype, f"weights are {weights.dtype}, the updates {at.updates.dtype}")
    require(torch.isfinite(weights).all(), "weights are not finite")
