"""One round of FedREDefense: who is looked at, and who is believed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import torch

from robustbench_fl.aggregators._reconstruction_attempts import Test, fails, measured, reconstruct
from robustbench_fl.aggregators._reconstruction_memory import (
    FOREVER,
    FedREDefenseState,
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
from robustbench_fl.aggregators._reconstruction_virtual import SLACK
from robustbench_fl.api import LayerShapes

if TYPE_CHECKING:
    from torch import Tensor

NO_UPDATE = 1e-12
"""Norm below which an update counts as zero."""
_FAILS_HONEST, _FAILS_MALICIOUS = 0.1, 0.8
"""Chances of failing one round's test that the sequential test tells apart."""


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
        found = measured(test, given.distance, updates[rows], who, state, virtual, test.multiple)
    else:
        found = reconstruct(test, given.distance, updates[rows], who, state)
    failed = torch.zeros_like(banned)
    failed[rows] = fails(found.errors, test)
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
