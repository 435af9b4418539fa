"""The forms of a method that are checked: its default, and one for every choice it offers."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from robustbench_fl.api import PreAggregator, build, params, registry
from robustbench_fl.api.spec import format_value, parse_chain
from robustbench_fl.conformance.declared import small_parameters, unvaried_parameters
from robustbench_fl.core.errors import UsageError

_NOTHING: Mapping[str, Any] = types.MappingProxyType({})


def variants(cls: type, given: Mapping[str, Any] = _NOTHING) -> tuple[Any, ...]:
    """Return the default instance of `cls`, then one for every other value of its choices.

    Choices are the method's own parameters whose type is ``bool`` or ``Literal``; one is changed
    at a time, and what the method itself refuses is left out.

    Parameters
    ----------
    cls : type
        A registered method that can be made without arguments.
    given : mapping, optional
        Parameters that all of them have.
    """
    base = default(cls, given)
    found = [base]
    hints = typing.get_type_hints(cls)
    for field in _own_fields(cls):
        if field.name in given:
            continue
        for value in _choices(hints[field.name]):
            if value == getattr(base, field.name):
                continue
            try:
                found.append(dataclasses.replace(base, **{field.name: value}))
            except ValueError:
                continue
    return tuple(found)


def default(cls: type, given: Mapping[str, Any] = _NOTHING) -> Any:
    """Return the default instance of `cls`, made cheaper as its author or the suite declares."""
    return cls(**{**small_parameters(cls), **given})


def made(kind: str, text: str) -> Any:
    """Return the method that `text` describes; a pre-aggregator without a rule behind it.

    Raises
    ------
    UsageError
        If there is none, or `text` describes a pipeline.
    """
    chain = parse_chain(text)
    if len(chain) > 1:
        raise UsageError(f"{text!r} is a pipeline. Name its methods one by one; each is checked by itself.")
    if issubclass(registry.entry(kind, chain[0].name.partition(":")[0]).cls, PreAggregator):
        return build.make(kind, f"{text} > median").stages[0]
    return build.make(kind, chain)


def given_in(kind: str, text: str) -> dict[str, Any]:
    """Return the parameters that `text` gives its method, also where they are the defaults."""
    method = made(kind, text)
    stated = {*parse_chain(text)[0].params, *params.canonical_call("", method).params}
    return {name: getattr(method, name) for name in stated}


def label(method: Any) -> str:
    """Return the parameters in which `method` differs from the default of its class."""
    base = default(type(method))
    differing = [
        f"{field.name}={format_value(getattr(method, field.name))}"
        for field in dataclasses.fields(method)
        if getattr(method, field.name) != getattr(base, field.name)
    ]
    name = registry.name_of(method)
    return f"{name}({', '.join(differing)})" if differing else name


def _own_fields(cls: type) -> Iterator[Any]:
    """Yield the fields that `cls` does not have from its contract (an attack's start and stop)."""
    contract = {
        field.name
        for base in cls.__mro__
        if base.__module__.startswith("robustbench_fl.api") and dataclasses.is_dataclass(base)
        for field in dataclasses.fields(base)
    }
    for field in dataclasses.fields(cls):
        if field.init and field.name not in contract | unvaried_parameters(cls):
            yield field


def _choices(hint: Any) -> Iterator[Any]:
    origin = typing.get_origin(hint)
    if hint is bool:
        yield from (False, True)
    elif origin is typing.Literal:
        yield from typing.get_args(hint)
    elif origin in (typing.Union, types.UnionType):
        for member in typing.get_args(hint):
            yield from _choices(member)
