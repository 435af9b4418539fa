"""One round of FedREDefense: who is reconstructed from where, and who is believed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch

from robustbench_fl.aggregators._reconstruction import Rates, Reconstruction, Yardstick, first_steps, solve
from robustbench_fl.aggregators._reconstruction_memory import (
    FOREVER,
    FedREDefenseState,
    Retest,
    forget,
    is_banned,
    remember,
    starts_anew,
)
from robustbench_fl.aggregators._reconstruction_paths import Distance
from robustbench_fl.aggregators._reconstruction_screen import (
    common,
    goes_back,
    shortened,
    too_long,
    unlike_training,
)
from robustbench_fl.aggregators._reconstruction_virtual import LEAST, LONGEST, SLACK
from robustbench_fl.api import LayerShapes

if TYPE_CHECKING:
    from torch import Tensor

NO_UPDATE = 1e-12
"""Norm below which an update counts as zero."""
_FAILS_HONEST, _FAILS_MALICIOUS = 0.1, 0.8
"""Chances of failing one round's test that the sequential test tells apart."""


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


@dataclass(frozen=True, kw_only=True)
class Round:
    """What the server has in one round.

    Parameters
    ----------
    distance : Distance
        The unrolled training from the global parameters.
    updates : Tensor [n, P]
        One row a client.
    clients : tuple of int
        Who sent each row.
    number : int
        Of the round.
    layer_shapes : tuple of (str, tuple of int)
        Names and shapes of the parameter tensors.
    travelled : Tensor [P] or None
        Global parameters minus those of the first round, where direction is looked at.
    virtual : callable, optional
        ``virtual() -> Tensor [k, P]``: updates of virtual clients, where a budget is measured.
    """

    distance: Distance
    updates: Tensor
    clients: tuple[int, ...]
    number: int
    layer_shapes: LayerShapes
    travelled: Tensor | None = None
    virtual: Callable[[], Tensor] | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a round's test says of n clients.

    Parameters
    ----------
    rejected : bool Tensor [n]
        Left out of the aggregate: failing this round's test, or banned.
    scores, errors : Tensor [n]
        Suspicion, and E (NaN for banned clients).
    iterations : Tensor [n]
        Evaluations of E (NaN for banned clients).
    updates : Tensor [n, P]
        What is to be aggregated of those who are not rejected: their updates, some of them shortened.
    state : FedREDefenseState
        For the next round.
    """

    rejected: Tensor
    scores: Tensor
    errors: Tensor
    iterations: Tensor
    updates: Tensor
    state: FedREDefenseState


def judge(test: Test, given: Round, state: FedREDefenseState) -> Verdict:
    """Reconstruct the updates of all clients that are not banned, and decide.

    Parameters
    ----------
    test : Test
        Settings.
    given : Round
        Updates and senders.
    state : FedREDefenseState
        With the initial images drawn. Never changed.
    """
    updates, clients, round = given.updates, given.clients, given.number
    device = updates.device
    lengths = torch.linalg.vector_norm(updates, dim=1)
    banned = torch.tensor([is_banned(state, c, round) for c in clients], dtype=torch.bool, device=device)
    empty = ~banned & (lengths < NO_UPDATE)
    if test.nan_policy == "released":
        empty = torch.zeros_like(empty)
    virtual = cache(given.virtual) if given.virtual else None
    known = torch.tensor([not starts_anew(state, c, test.retest) for c in clients], device=device)
    candidates = ~banned & ~empty
    if virtual and test.class_sums == "zero" and bool((candidates & ~known).any()):
        state = replace(state, slack=SLACK * float(common(virtual(), given.layer_shapes).max()))
    odd = _odd(test, given, state, lengths, candidates)
    long = _long(test, lengths, candidates & ~odd)
    spiked = torch.tensor([c in state.spikes for c in clients], device=device)
    spikes = long & known & ~spiked
    odd |= long & ~spikes
    if spikes.any():
        updates = shortened(updates, lengths, spikes, candidates & ~odd & ~spikes)
    rows = (candidates & ~odd).nonzero().flatten()
    who = [clients[i] for i in rows.tolist()]

    if virtual and test.multiple:
        found = _measured(test, given.distance, updates[rows], who, state, virtual, test.multiple)
    else:
        found = _reconstruct(test, given.distance, updates[rows], who, state)
    failed = torch.zeros_like(banned)
    failed[rows] = _fails(found.errors, test)
    failed |= odd | (empty & (test.zero_update == "reject"))
    errors = updates.new_full((len(updates),), torch.nan)
    errors[rows], errors[empty] = found.errors, 1.0
    iterations = torch.where(banned, torch.nan, torch.zeros_like(errors))
    iterations[rows] = found.iterations.to(errors.dtype)
    used = torch.zeros_like(errors)
    used[rows] = found.iterations / found.budget

    judged = [c for c, out in zip(clients, banned.tolist(), strict=True) if not out]
    evidence, accused = _weigh(test, judged, failed[~banned].tolist(), state.evidence)
    state = forget(state, [c for c, out in zip(clients, odd.tolist(), strict=True) if out])
    state = remember(state, found, updates[rows], who, failed[rows].tolist(), test.retest)
    seen = {c: round for c, spike in zip(clients, spikes.tolist(), strict=True) if spike}
    seen |= {c: before for c, before in state.spikes.items() if c not in judged}
    bans = {c: until for c, until in state.banned.items() if until == FOREVER or until > round}
    if test.ban != "round":
        until = FOREVER if test.ban == "forever" else round + 1 + test.ban
        bans |= {c: until for c, guilty in zip(judged, accused, strict=True) if guilty}
    return Verdict(
        rejected=banned | failed,
        scores=_scores(test, errors, used, failed, banned),
        errors=errors,
        iterations=iterations,
        updates=updates,
        state=replace(state, banned=bans, evidence=evidence, spikes=seen),
    )


def _drawn(state: FedREDefenseState) -> Tensor:
    assert state.initial is not None
    return state.initial


def _odd(test: Test, given: Round, state: FedREDefenseState, lengths: Tensor, candidates: Tensor) -> Tensor:
    """Return whose update has class sums or a direction that no training gives it [n]."""
    odd = torch.zeros_like(candidates)
    if test.class_sums == "zero":
        sums = common(given.updates, given.layer_shapes)
        odd |= candidates & unlike_training(sums, lengths, state.slack)
    if given.travelled is not None:
        odd |= candidates & goes_back(given.updates, lengths, given.travelled)
    return odd


def _long(test: Test, lengths: Tensor, left: Tensor) -> Tensor:
    """Return who among those `left` sends too much [n]."""
    long = torch.zeros_like(left)
    if test.longest is not None:
        long[left] = too_long(lengths[left], test.longest)
    return long


def _measured(
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
    The others, and those who are not, run beside the virtual clients, who always start anew.
    """
    found = _reconstruct(test, distance, updates, who, state, only_known=True)
    rows = (~(found.errors <= test.threshold)).nonzero().flatten()
    if not len(rows):
        return found
    yardstick = virtual()
    start = _fresh(test, distance, torch.cat([yardstick, updates[rows]]), _drawn(state))
    budget = torch.full((len(start[0]),), LONGEST, dtype=torch.int64, device=updates.device)
    budget[len(yardstick) :] = math.ceil(multiple * LONGEST)
    images, labels, steps = (part.clone() for part in start)
    begun = (found.iterations[rows] > 0).nonzero().flatten()
    for part, learned in zip((images, labels, steps), (found.images, found.labels, found.steps), strict=True):
        part[len(yardstick) + begun] = learned[rows[begun]]
    measure = Yardstick(rows=len(yardstick), multiple=multiple, least=LEAST)
    everybody = torch.cat([yardstick, updates[rows]])
    again = _solve(test, distance, everybody, (images, labels, steps), budget, measure)
    found = _merged(found, again.rows(slice(len(yardstick), None)), rows)
    return _second_attempt(test, distance, updates, state, found, int(again.budget[-1]))


def _reconstruct(
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
    return found if only_known else _second_attempt(test, distance, updates, state, found, first)


def _second_attempt(
    test: Test,
    distance: Distance,
    updates: Tensor,
    state: FedREDefenseState,
    found: Reconstruction,
    budget: int,
) -> Reconstruction:
    """Return `found`, those who failed reconstructed once more from another draw, if the test allows it."""
    failed = _fails(found.errors, test)
    if not (test.restart and failed.any()):
        return found
    assert state.spare is not None
    again = updates[failed]
    start = _fresh(test, distance, again, state.spare)
    more = torch.full_like(found.budget[failed], budget)
    return _merged(found, _solve(test, distance, again, start, more), failed)


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


def _fails(errors: Tensor, test: Test) -> Tensor:
    """Return who fails the round's test."""
    if test.nan_policy == "released" and errors.isnan().any():
        return errors.isnan()
    return ~(errors <= test.tolerated)


def _weigh(
    test: Test, clients: list[int], failed: list[bool], evidence: dict[int, float]
) -> tuple[dict[int, float], list[bool]]:
    """Return the evidence against each client and who is to be banned."""
    if test.decision == "round":
        return evidence, failed
    fail = math.log(_FAILS_MALICIOUS / _FAILS_HONEST)
    success = math.log((1 - _FAILS_MALICIOUS) / (1 - _FAILS_HONEST))
    bound = math.log((1 - test.false_alarm) / test.false_alarm)
    weighed = {
        client: max(0.0, evidence.get(client, 0.0) + (fail if fails else success))
        for client, fails in zip(clients, failed, strict=True)
    }
    accused = [weighed[client] >= bound for client in clients]
    cleared = {c: 0.0 for c, guilty in zip(clients, accused, strict=True) if guilty}
    return {**evidence, **weighed, **cleared}, accused


def _scores(test: Test, errors: Tensor, used: Tensor, failed: Tensor, banned: Tensor) -> Tensor:
    """Return suspicion: iterations rank those who pass, errors those who fail."""
    by_error = torch.where(errors.isfinite(), errors / (1 + errors), 1.0)
    if not test.early_stop:
        return by_error
    return torch.where(failed | banned, 1 + by_error, used)
