"""Who is reconstructed from where, and with what budget, in a round of FedREDefense."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from robustbench_fl.aggregators._reconstruction import Rates, Reconstruction, Yardstick, first_steps, solve
from robustbench_fl.aggregators._reconstruction_memory import FedREDefenseState, Retest, starts_anew
from robustbench_fl.aggregators._reconstruction_paths import Distance
from robustbench_fl.aggregators._reconstruction_virtual import LEAST, LONGEST

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Test:
    """The settings of one round's test, all resolved; named as in ``FedREDefense``."""

    rates: Rates
    step: float | Literal["auto"]
    auto_step: float
    later_step: Literal["kept", "scaled"]
    threshold: float
    tolerated: float
    first_budget: int
    later_budget: int
    early_stop: bool
    ban: Literal["forever", "round"] | int
    nan_policy: Literal["reject", "released"]
    zero_update: Literal["reject", "accept"]
    retest: Retest
    restart: bool
    decision: Literal["round", "sequential"]
    false_alarm: float
    label_logit: float
    multiple: float | None
    class_sums: Literal["any", "zero"]
    longest: float | None


def measured(
    test: Test,
    distance: Distance,
    updates: Tensor,
    who: list[int],
    state: FedREDefenseState,
    virtual: Callable[[], Tensor],
    multiple: float,
) -> Reconstruction:
    """Return the reconstructions under a budget that virtual clients set.

    Whoever has synthetic data starts from them, without a yardstick: nearly all are done at once.
    The others, and those who are not, run beside the virtual clients, who always start anew. Old data may
    lead nowhere, with a step that suits another length of training: who fails from them starts anew too.
    """
    found = reconstruct(test, distance, updates, who, state, only_known=True)
    old = found.iterations > 0
    rows = (~(found.errors <= test.threshold)).nonzero().flatten()
    if not len(rows):
        return found
    yardstick = virtual()
    start = _fresh(test, distance, torch.cat([yardstick, updates[rows]]), _drawn(state))
    budget = torch.full((len(start[0]),), LONGEST, dtype=torch.int64, device=updates.device)
    budget[len(yardstick) :] = math.ceil(multiple * LONGEST)
    images, labels, steps = (part.clone() for part in start)
    begun = old[rows].nonzero().flatten()
    for part, learned in zip((images, labels, steps), (found.images, found.labels, found.steps), strict=True):
        part[len(yardstick) + begun] = learned[rows[begun]]
    measure = Yardstick(rows=len(yardstick), multiple=multiple, least=LEAST)
    everybody = torch.cat([yardstick, updates[rows]])
    again = _solve(test, distance, everybody, (images, labels, steps), budget, measure)
    found = _merged(found, again.rows(slice(len(yardstick), None)), rows)
    granted = int(again.budget[-1])
    found = _attempt(test, distance, updates, _drawn(state), found, old & fails(found.errors, test), granted)
    return _restarted(test, distance, updates, state, found, granted)


def reconstruct(
    test: Test,
    distance: Distance,
    updates: Tensor,
    who: list[int],
    state: FedREDefenseState,
    only_known: bool = False,
) -> Reconstruction:
    """Return the reconstructions, second attempts included; of the known clients only, if so asked."""
    fresh = _fresh(test, distance, updates, _drawn(state))
    known = [not starts_anew(state, c, test.retest) for c in who]
    images, labels, steps = (part.clone() for part in fresh)
    for row, client in enumerate(who):
        if known[row]:
            images[row], labels[row] = state.images[client], state.labels[client]
            steps[row] = state.steps[client]
            if test.later_step == "scaled":
                steps[row] *= torch.linalg.vector_norm(updates[row]) / state.norms[client]
    first = 0 if only_known else test.first_budget
    budget = torch.tensor(
        [test.later_budget if old else first for old in known], dtype=torch.int64, device=updates.device
    )
    found = _solve(test, distance, updates, (images, labels, steps), budget)
    return found if only_known else _restarted(test, distance, updates, state, found, first)


def _restarted(
    test: Test,
    distance: Distance,
    updates: Tensor,
    state: FedREDefenseState,
    found: Reconstruction,
    budget: int,
) -> Reconstruction:
    """Return `found`, those who failed reconstructed once more from another draw, if the test allows it."""
    if not test.restart:
        return found
    assert state.spare is not None
    return _attempt(test, distance, updates, state.spare, found, fails(found.errors, test), budget)


def _attempt(
    test: Test,
    distance: Distance,
    updates: Tensor,
    images: Tensor,
    found: Reconstruction,
    which: Tensor,
    budget: int,
) -> Reconstruction:
    """Return `found`, some reconstructed once more, from fresh synthetic data with a budget of their own."""
    if not which.any():
        return found
    start = _fresh(test, distance, updates[which], images)
    more = torch.full_like(found.budget[which], budget)
    return _merged(found, _solve(test, distance, updates[which], start, more), which)


def _fresh(test: Test, distance: Distance, updates: Tensor, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, labels and step sizes of clients without synthetic data of their own."""
    n, classes = len(updates), len(images)
    labels = test.label_logit * torch.eye(classes, dtype=images.dtype, device=images.device)
    if test.step == "auto":
        steps = first_steps(distance, updates, images, labels, test.auto_step)
    else:
        steps = updates.new_full((n,), test.step)
    return images.expand(n, *images.shape), labels.expand(n, classes, classes), steps


def _solve(
    test: Test,
    distance: Distance,
    updates: Tensor,
    data: tuple[Tensor, Tensor, Tensor],
    budget: Tensor,
    yardstick: Yardstick | None = None,
) -> Reconstruction:
    images, labels, steps = data
    return solve(
        distance,
        updates,
        images=images,
        labels=labels,
        steps=steps,
        rates=test.rates,
        budget=budget,
        threshold=test.threshold,
        early_stop=test.early_stop,
        yardstick=yardstick,
    )


def _merged(first: Reconstruction, second: Reconstruction, rows: Tensor) -> Reconstruction:
    """Return `first` with the outcome of a second attempt in `rows`, iterations and budget added up."""

    def put(before: Tensor, after: Tensor) -> Tensor:
        changed = before.clone()
        changed[rows] = after
        return changed

    return Reconstruction(
        errors=put(first.errors, second.errors),
        iterations=put(first.iterations, first.iterations[rows] + second.iterations),
        images=put(first.images, second.images),
        labels=put(first.labels, second.labels),
        steps=put(first.steps, second.steps),
        damping=put(first.damping, second.damping),
        budget=put(first.budget, first.budget[rows] + second.budget),
    )


def fails(errors: Tensor, test: Test) -> Tensor:
    """Return who fails the round's test."""
    if test.nan_policy == "released" and errors.isnan().any():
        return errors.isnan()
    return ~(errors <= test.tolerated)


def _drawn(state: FedREDefenseState) -> Tensor:
    assert state.initial is not None
    return state.initial
