"""Parameters of methods: what a dataclass accepts, read from its annotations alone.

A method states types and ranges where it declares its fields, ``trim: Annotated[float, Ge(0),
Lt(0.5)] = 0.1``; validation, ``describe`` and the canonical text all read that one place.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

import pydantic
from annotated_types import Ge, Gt, Interval, Le, Lt

from robustbench_fl.api.spec import Call, Value, format_value
from robustbench_fl.core.errors import UsageError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Shown:
    """Marks a parameter that the canonical text names even at its default (a degree of non-IID)."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Marks a parameter that says where data lies, not what it is: no part of a method's identity."""


@dataclasses.dataclass(frozen=True)
class Added:
    """Marks a parameter that came after cells were stored: no part of the identity at its default."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of a method, for people: name, type, range and default as text."""

    name: str
    type: str
    range: str
    wanted: str
    """Type and range in one phrase, for messages."""
    default: str
    required: bool
    shown: bool
    takes_list: bool
    place: bool
    added: bool


@cache
def parameters(cls: type) -> tuple[Parameter, ...]:
    """Return the parameters of the method `cls`: required ones, its own, those of its base classes."""
    hints = typing.get_type_hints(cls, include_extras=True)
    inherited = {
        field.name
        for base in cls.__mro__[1:]
        if dataclasses.is_dataclass(base)
        for field in dataclasses.fields(base)
    }
    names = [field.name for field in dataclasses.fields(cls) if field.init]
    defaults = _defaults(cls)
    ordered = sorted(names, key=lambda name: (name in defaults, name in inherited))
    return tuple(_parameter(cls, name, hints[name]) for name in ordered)


def build(cls: type, params: Mapping[str, Value], where: str) -> Any:
    """Return ``cls(**params)`` after checking every name, type and range.

    Parameters
    ----------
    cls : type
        A frozen dataclass.
    params : mapping
        Explicitly given parameters.
    where : str
        The method as the user knows it, for the error message.

    Raises
    ------
    UsageError
        On an unknown, missing, mistyped or out-of-range parameter.
    """
    known = {p.name: p for p in parameters(cls)}
    for name in params:
        if name not in known:
            raise UsageError(
                f"{where} has no parameter {name!r}. {did_you_mean(name, known)}".rstrip()
                + f"\nIts parameters: {', '.join(known) or 'none'}."
            )
    given = {**_defaults(cls), **params}
    checked: dict[str, Any] = {}
    for name, parameter in known.items():
        if name not in given:
            raise UsageError(f"{where} needs the parameter {name!r}: {parameter.wanted}.")
        try:
            checked[name] = _normal(_checkers(cls)[name].validate_python(_tuples(given[name])))
        except pydantic.ValidationError:
            value = given[name]
            found = repr(value) if isinstance(value, str) else format_value(value)
            raise UsageError(
                f"{where}: parameter {name!r} must be {parameter.wanted}, got {found}."
            ) from None
    try:
        return cls(**checked)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None


def resolved(method: Any) -> dict[str, Value]:
    """Return all parameters of `method` that decide its numbers, as plain data for the cell's key.

    A method whose parameters came in parts has ``as_stored(values) -> values``, which writes them as
    cells from before have them, so that their keys stay.
    """
    cls: type = type(method)
    defaults = _defaults(cls)
    deciding = {p: getattr(method, p.name) for p in parameters(cls) if not p.place}
    values = {p.name: _plain(v) for p, v in deciding.items() if not (p.added and v == defaults[p.name])}
    as_stored = getattr(method, "as_stored", None)
    return as_stored(values) if as_stored else values


def canonical_call(name: str, method: Any, *, former: bool = False) -> Call:
    """Return the shortest call that makes `method` again: non-default and shown parameters.

    Parameters
    ----------
    name : str
        Of the method.
    method : object
        A method.
    former : bool
        Whether by the defaults that its class had when cells were first stored, where it says that some
        have changed since: ``former_defaults``, a mapping.
    """
    cls: type = type(method)
    defaults = {**_defaults(cls), **(getattr(cls, "former_defaults", {}) if former else {})}
    given = {
        p.name: _plain(getattr(method, p.name))
        for p in parameters(cls)
        if p.shown or p.required or getattr(method, p.name) != defaults[p.name]
    }
    return Call(name, given)


def _tuples(value: Any) -> Any:
    """Turn lists, the language's only sequence, into tuples, which frozen methods can hash."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _normal(value: Any) -> Any:
    """Give equal values one spelling: −0.0 is 0.0."""
    if isinstance(value, tuple):
        return tuple(_normal(item) for item in value)
    return value + 0.0 if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


@cache
def _defaults(cls: type) -> dict[str, Any]:
    return {
        field.name: field.default
        for field in dataclasses.fields(cls)
        if field.init and field.default is not dataclasses.MISSING
    }


@cache
def _checkers(cls: type) -> dict[str, pydantic.TypeAdapter[Any]]:
    """Return what checks each parameter. Numbers are finite: a cell's key is plain JSON."""
    config = pydantic.ConfigDict(strict=True, allow_inf_nan=False)
    hints = typing.get_type_hints(cls, include_extras=True)
    return {p.name: pydantic.TypeAdapter(hints[p.name], config=config) for p in parameters(cls)}


def _parameter(cls: type, name: str, hint: Any) -> Parameter:
    members = _members(hint)
    if any(typing.get_origin(member) is list or member is list for member, _ in members):
        raise TypeError(f"{cls.__qualname__}.{name}: annotate a list as tuple[...]; methods are frozen.")
    ranges = [_range_text(marks) for member, marks in members] + [
        _range_text(marks)
        for member, _ in members
        if _is_list(member)
        for _, marks in _members(_item(member))
    ]
    required = name not in _defaults(cls)
    return Parameter(
        name=name,
        type=_type_text(hint),
        range=", ".join(dict.fromkeys(filter(None, ranges))),
        wanted=_type_text(hint, ranged=True),
        default="" if required else format_value(_plain(_defaults(cls)[name])),
        required=required,
        shown=any(isinstance(mark, Shown) for _, marks in members for mark in marks),
        takes_list=any(_is_list(member) for member, _ in members),
        place=any(isinstance(mark, Place) for _, marks in members for mark in marks),
        added=any(isinstance(mark, Added) for _, marks in members for mark in marks),
    )


def _members(hint: Any, marks: tuple[Any, ...] = ()) -> list[tuple[Any, tuple[Any, ...]]]:
    """Return the types that `hint` unites, each with the marks that hold for it."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _members(typing.get_args(hint)[0], (*marks, *hint.__metadata__))
    if origin in (typing.Union, types.UnionType):
        return [member for arg in typing.get_args(hint) for member in _members(arg, marks)]
    return [(hint, marks)]


def _is_list(member: Any) -> bool:
    return typing.get_origin(member) is tuple


def _item(member: Any) -> Any:
    return typing.get_args(member)[0]


def _type_text(hint: Any, *, ranged: bool = False) -> str:
    texts: list[str] = []
    for member, marks in _members(hint):
        if typing.get_origin(member) is typing.Literal:
            texts += map(str, typing.get_args(member))
            continue
        bounds = _range_text(marks) if ranged else ""
        texts.append(_member_text(member, ranged) + (f" in {bounds}" if bounds else ""))
    texts = list(dict.fromkeys(texts))
    return " or ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))


def _member_text(member: Any, ranged: bool) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        str: "a word",
        bool: "true or false",
        type(None): "none",
    }
    if _is_list(member):
        inner = _type_text(_item(member), ranged=ranged)
        return f"a list of {inner.removeprefix('a ').replace('number', 'numbers').replace('word', 'words')}"
    return names.get(member, getattr(member, "__name__", str(member)))


def _range_text(marks: tuple[Any, ...]) -> str:
    low, high = "(-inf", "inf)"
    for mark in marks:
        for bound in mark if isinstance(mark, Interval) else (mark,):
            if isinstance(bound, Ge):
                low = f"[{bound.ge}"
            elif isinstance(bound, Gt):
                low = f"({bound.gt}"
            elif isinstance(bound, Le):
                high = f"{bound.le}]"
            elif isinstance(bound, Lt):
                high = f"{bound.lt})"
    return "" if (low, high) == ("(-inf", "inf)") else f"{low}, {high}"
