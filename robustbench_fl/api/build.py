"""Specs to method objects and back: parsing, checking, canonical text, identity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from robustbench_fl.api import params, registry
from robustbench_fl.api.aggregator import Aggregator, PreAggregator
from robustbench_fl.api.pipeline import Pipeline
from robustbench_fl.api.spec import GROUP_MARK, Call, Chain, format_chain, parse_chain
from robustbench_fl.core.errors import UsageError

LARGEST_GRID = 10_000
"""Forms of one method, or of one composition."""


def make(kind: str, text: str | Chain, where: str = "") -> Any:
    """Return the method that `text` describes.

    Parameters
    ----------
    kind : str
        ``"aggregators"``, ``"attacks"``, ``"partitions"``, ``"datasets"`` or ``"models"``.
    text : str or parsed chain
        For example ``"nnm > trimmed_mean(trim=0.1)"``; only aggregators compose.
    where : str
        Where it comes from, for the error message.

    Returns
    -------
    object
        An instance of the registered class; for a composed aggregator a
        :class:`~robustbench_fl.api.pipeline.Pipeline`.
    """
    chain = parse_chain(text, where) if isinstance(text, str) else text
    place = f" in {where}" if where else ""
    if kind != "aggregators" and len(chain) > 1:
        raise UsageError(f"'>' composes aggregators only; found {format_chain(chain)!r}{place}.")
    methods = [_build(kind, call, where) for call in chain]
    if kind != "aggregators":
        return methods[0]
    for method, call in zip(methods[:-1], chain[:-1], strict=True):
        if not isinstance(method, PreAggregator):
            raise UsageError(f"{call.name!r}{place} is a rule, not a pre-aggregator; it can only come last.")
    rule = methods[-1]
    if not isinstance(rule, Aggregator):
        raise UsageError(
            f"{chain[-1].name!r}{place} is a pre-aggregator: a rule must follow, "
            f"as in '{chain[-1].name} > median'."
        )
    return Pipeline(stages=tuple(methods[:-1]), rule=rule) if len(methods) > 1 else rule


def expand_grid(kind: str, chain: Chain, where: str = "") -> Iterator[Chain]:
    """Yield the chains meant by `chain`: a list where a method takes a scalar is a grid.

    Raises
    ------
    UsageError
        If a method does not exist, or a grid is empty or larger than :data:`LARGEST_GRID`.
    """
    options: list[list[Call]] = []
    n_forms = 1
    for call in (_spelled_out(kind, call) for call in chain):
        cls: type = registry.entry(kind, call.name, where).cls
        scalar = {p.name for p in params.parameters(cls) if not p.takes_list}
        axes = []
        for key, value in call.params.items():
            if value == [] and key in scalar:
                raise UsageError(f"{call.name} in {where}: parameter {key!r} is an empty list.")
            items = value if isinstance(value, list) and key in scalar else [value]
            axes.append([(key, item) for item in items])
        n_forms *= math.prod(map(len, axes))
        if n_forms > LARGEST_GRID:
            raise UsageError(
                f"{call.name} in {where}: with its lists of parameters these are {n_forms:,} forms; at most "
                f"{LARGEST_GRID:,} are allowed. Shorten a list."
            )
        options.append([Call(call.name, dict(point)) for point in itertools.product(*axes)])
    yield from itertools.product(*options)


def text_of(method: Any) -> str:
    """Return the canonical text of a method: what tables print and ``make`` reads back."""
    return format_chain(tuple(_call_of(part) for part in _parts(method)))


def stream_text(text: str, method: Any) -> str:
    """Return what names a method's random streams: `text`, its canonical text.

    Where a default has changed since cells were stored it is the text of that time, so that they draw
    what they drew.

    Examples
    --------
    >>> stream_text("fedredefense(preset=fast)", make("aggregators", "fedredefense(preset=fast)"))
    'fedredefense'
    >>> stream_text("fedredefense", make("aggregators", "fedredefense"))
    'fedredefense(preset=calibrated)'
    """
    if not any(hasattr(type(part), "former_defaults") for part in _parts(method)):
        return text
    return format_chain(tuple(_call_of(part, former=True) for part in _parts(method)))


def content_text(kind: str, text: str) -> str:
    """Return a method's canonical text without what says where its data lies.

    It names random streams: a file's place does not change a number.

    Examples
    --------
    >>> content_text("datasets", "npz(path=mine.npz, digest=0a1b, train=100)")
    'npz(digest=0a1b, train=100)'
    """
    calls = parse_chain(text)
    places = {
        p.name for call in calls for p in params.parameters(registry.entry(kind, call.name).cls) if p.place
    }
    if not any(places & set(call.params) for call in calls):
        return text
    return format_chain(
        tuple(Call(c.name, {k: v for k, v in c.params.items() if k not in places}) for c in calls)
    )


def identity_of(method: Any) -> list[dict[str, Any]]:
    """Return a method's part of the cell key: names, versions and all parameters, defaults too.

    A plug-in's part has the digest of its code as well.
    """
    return [_identity(registry.entry_of(part), part) for part in _parts(method)]


def _identity(entry: registry.Entry, part: Any) -> dict[str, Any]:
    stated = {"name": entry.name, "version": entry.version, "params": params.resolved(part)}
    return stated if entry.code is None else {**stated, "code": entry.code}


def _parts(method: Any) -> tuple[Any, ...]:
    return (*method.stages, method.rule) if isinstance(method, Pipeline) else (method,)


def _build(kind: str, call: Call, where: str) -> Any:
    if call.name.startswith(GROUP_MARK):
        place = f" in {where}" if where else ""
        raise UsageError(f"{call.name!r}{place} is a group, for sweeps; name one of the {kind} here.")
    call = _spelled_out(kind, call)
    found = registry.entry(kind, call.name, where)
    label = f"{found.name}{f' in {where}' if where else ''}"
    return params.build(found.cls, call.params, label)


def _spelled_out(kind: str, call: Call) -> Call:
    """Return ``torchvision:resnet18`` as ``torchvision(name=resnet18)``.

    A method says with ``member`` which of its parameters may stand after a colon.
    """
    head, colon, value = call.name.partition(":")
    if not colon or call.name in registry.names(kind) or head not in registry.names(kind):
        return call
    parameter = getattr(registry.entry(kind, head).cls, "member", None)
    if parameter is None:
        return call
    if parameter in call.params:
        raise UsageError(f"{call}: {parameter!r} is given twice, after the colon and in brackets.")
    return Call(head, {parameter: value, **call.params})


def _call_of(method: Any, *, former: bool = False) -> Call:
    call = params.canonical_call(registry.name_of(method), method, former=former)
    parameter = getattr(type(method), "member", None)
    if parameter is None:
        return call
    rest = {key: value for key, value in call.params.items() if key != parameter}
    return Call(f"{call.name}:{call.params[parameter]}", rest)
