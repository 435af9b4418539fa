"""Rules under rows that are far out, huge or zero."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from robustbench_fl.api import Aggregator, Need
from robustbench_fl.conformance.checks import Violation, check, require
from robustbench_fl.conformance.rule_contract import require_vector
from robustbench_fl.conformance.server_scene import Scene, aggregate_of, longest, play, scene, start
from robustbench_fl.conformance.variants import label
from robustbench_fl.core.seeding import stream, torch_generator

_FACTORS = (1e2, 1e6)
_BOUNDED = 3.0
"""A robust aggregate stays within so many lengths of the longest honest update."""
_UNBOUNDED = 1e3
"""One that one row can move this far, with that row 1e6 times as long, follows it."""


@check("aggregators", across=True)
def check_outlier(forms: tuple[Aggregator, ...]) -> None:
    """A row of 100 or a million times the length moves the aggregate far exactly where `robust` is denied."""
    farthest, denied = 0.0, False
    for rule in forms:
        if not rule.robust:
            denied = True
            farthest = max(farthest, *(_reach(rule, at) for _, at in _outliers(rule)))
            continue
        for what, at in _outliers(rule):
            reach = _reach(rule, at)
            if not reach <= _BOUNDED:
                raise Violation(
                    f"{label(rule)} declares `robust = True`, but {what} takes the aggregate to "
                    f"{reach:.3g} times the longest honest update{_if_mean(rule, at)}"
                )
    require(
        not denied or farthest > _UNBOUNDED,
        f"it declares `robust = False`, but no row tried moves the aggregate beyond {farthest:.3g} times "
        "the longest honest update: declare True",
    )


@check("aggregators")
def check_huge_rows(rule: Aggregator) -> None:
    """Rows full of 1e30, whose squares overflow float32, do not make the aggregate non-finite."""
    at = scene(rule)
    signs = torch.randn(at.updates.shape, generator=torch_generator(stream("conformance", "signs"))).sign()
    for rows in (torch.ones_like(at.updates), signs):
        updates = at.updates.clone()
        attackers = max(1, at.f)
        updates[:attackers] = 1e30 * rows[:attackers]
        require_vector(play(rule, at.with_updates(updates), start(rule))[0].aggregate, at)


@check("aggregators")
def check_zero_rows(rule: Aggregator) -> None:
    """Zero updates, from some or all clients, give a finite aggregate; from all, the zero one."""
    at = scene(rule)
    for zeros in (max(1, at.f), at.n):
        updates = at.updates.clone()
        updates[:zeros] = 0
        outcome, _ = play(rule, at.with_updates(updates), start(rule))
        require_vector(outcome.aggregate, at)
        if zeros == at.n and Need.ROOT_DATA not in rule.needs:
            require(
                not outcome.aggregate.any(),
                f"{zeros} zero updates give {float(outcome.aggregate.norm()):.3g}",
            )


def _outliers(rule: Aggregator) -> Iterator[tuple[str, Scene]]:
    """Yield scenes in which one row is far away, in the direction opposed to the others or any."""
    at = scene(rule)
    length = longest(at.updates)
    random = torch.randn(at.updates.shape[1], generator=torch_generator(stream("conformance", "outlier")))
    for name, direction in (("against the mean", -at.updates.mean(0)), ("at random", random)):
        for factor in _FACTORS:
            row = direction * (factor * length / float(direction.norm()))
            yield (
                f"one row of {factor:g} times the length, {name},",
                at.with_updates(_with_first(at.updates, row)),
            )


def _with_first(updates: Tensor, row: Tensor) -> Tensor:
    changed = updates.clone()
    changed[0] = row
    return changed


def _reach(rule: Aggregator, at: Scene) -> float:
    return float(aggregate_of(rule, at).norm()) / longest(at.updates[1:])


def _if_mean(rule: Aggregator, at: Scene) -> str:
    mean = at.updates.double().mean(0)
    same = float((aggregate_of(rule, at) - mean).norm()) <= 1e-5 * float(mean.norm())
    return " (it is the plain mean)" if same else ""
