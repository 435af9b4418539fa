"""The facts a rule declares about itself, held against what it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from robustbench_fl.api import Aggregator
from robustbench_fl.conformance import world
from robustbench_fl.conformance.checks import check, require
from robustbench_fl.conformance.courses import first_aggregate
from robustbench_fl.conformance.server_scene import (
    Scene,
    aggregate_of,
    bearable,
    longest,
    play,
    scene,
    start,
)
from robustbench_fl.conformance.variants import label
from robustbench_fl.core.seeding import stream, torch_generator

_HOLDS = 1e-3
"""Relative error up to which an equation between float32 results holds."""
_FACTORS = (2.0**-10, 0.25, 4.0, 2.0**10)
_WIDE = 5000
"""Columns of the matrix that is cut into blocks: more than one block of any rule here."""


@check("aggregators", across=True)
def check_translation(forms: tuple[Aggregator, ...]) -> None:
    """Adding a vector to all updates adds it to the aggregate exactly where `translation` is declared."""
    _require_fact(forms, "translation", _translation_error)


@check("aggregators", across=True)
def check_scale(forms: tuple[Aggregator, ...]) -> None:
    """Multiplying all updates multiplies the aggregate exactly where `scale` is declared."""
    _require_fact(forms, "scale", _scale_error)


@check("aggregators", applies=lambda rule: rule.baseline in (None, "honest"))
def check_identical_updates(rule: Aggregator) -> None:
    """If all clients, or the only one, send the same update, that is the aggregate."""
    for n in (1, world.N_CLIENTS):
        if bearable(rule, n) is None:
            continue
        at = scene(rule, n=n)
        row = at.updates[0].clone()
        found = aggregate_of(rule, at.with_updates(row.repeat(n, 1)))
        gap, size = float((found - row.double()).norm()), float(row.norm())
        require(gap <= _HOLDS * size, f"{n} equal updates of norm {size:.3g} are missed by {gap:.3g}")


@check("aggregators", applies=lambda rule: rule.coordinatewise)
def check_coordinatewise(rule: Aggregator) -> None:
    """Declared coordinate-wise, it gives the same for blocks of columns as for all of them."""
    require(start(rule) is None, "a coordinate-wise rule is called block by block and can keep no state")
    at = scene(rule, n=7)
    generator = torch_generator(stream("conformance", "columns"))
    wide = at.with_updates(torch.randn(at.n, _WIDE, generator=generator))
    whole = play(rule, wide, None)[0].aggregate
    edges = [0, 1, 8, 1000, _WIDE]
    parts = [play(rule, wide.with_updates(wide.updates[:, a:b]), None)[0] for a, b in pairwise(edges)]
    gap = float((torch.cat([part.aggregate for part in parts]) - whole).abs().max())
    require(gap <= 1e-6, f"aggregating columns {edges} apart changes a coordinate by {gap:.2g}")


def _require_fact(forms: Sequence[Aggregator], fact: str, error: Callable[[Aggregator], float]) -> None:
    deniers: list[float] = []
    for rule in forms:
        if getattr(rule, fact):
            found = error(rule)
            require(
                found <= _HOLDS,
                f"{label(rule)} declares `{fact} = True`, but misses by {found:.2g} (relative): "
                "declare False unless that is a mistake",
            )
        else:
            deniers.append(error(rule))
    broken = not deniers or max(deniers) > _HOLDS
    require(broken, f"it declares `{fact} = False`, but no variant breaks it: declare True")


def _translation_error(rule: Aggregator) -> float:
    return max(_shift_error(rule, scene(rule), size) for size in (1.0, 10.0))


def _shift_error(rule: Aggregator, at: Scene, size: float) -> float:
    length = longest(at.updates)
    direction = torch.randn(at.updates.shape[1], generator=torch_generator(stream("conformance", "shift")))
    shift = direction * (size * length / float(direction.norm()))
    moved = aggregate_of(rule, at.with_updates(at.updates + shift))
    return _relative(moved, first_aggregate(rule) + shift.double(), length * (1 + size))


def _scale_error(rule: Aggregator) -> float:
    at = scene(rule)
    base, length = first_aggregate(rule), longest(at.updates)
    return max(
        _relative(aggregate_of(rule, replace(at, updates=c * at.updates)), c * base, c * length)
        for c in _FACTORS
    )


def _relative(found: Tensor, expected: Tensor, size: float) -> float:
    return float((found - expected).norm()) / size
