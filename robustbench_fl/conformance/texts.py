"""All methods: their text form, and their documentation."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from robustbench_fl.api import build, params, registry
from robustbench_fl.conformance.checks import FAMILIES, check, listing, require
from robustbench_fl.conformance.declared import small_parameters
from robustbench_fl.conformance.variants import made

_SHAPE = re.compile(r"(Tensor|array|rows|`\w+`)s? \[")


@check(*FAMILIES)
def check_text_round_trip(method: Any) -> None:
    """Its canonical text makes an equal method with the same text and identity, which JSON can hold."""
    text = build.text_of(method)
    again = made(registry.entry_of(method).kind, text)
    require(again == method, f"{text!r} makes {again}, not {method}")
    require(build.text_of(again) == text, f"{text!r} becomes {build.text_of(again)!r}")
    identity = build.identity_of(method)
    require(build.identity_of(again) == identity, f"{text!r} has another identity")
    json.dumps(identity, allow_nan=False)
    hash(method)


@check(*FAMILIES, across=True)
def check_constructor(forms: tuple[Any, ...]) -> None:
    """It can be made without arguments, but for where data lies, by keyword only; it compares by them."""
    cls: Any = type(forms[0])
    positional = [f.name for f in dataclasses.fields(cls) if f.init and not f.kw_only]
    require(not positional, f"{listing(positional)} can be given by position; add kw_only=True")
    required = [p.name for p in params.parameters(cls) if p.required and not p.place]
    require(not required, f"{listing(required)} must have defaults")
    given = small_parameters(cls) if any(p.required for p in params.parameters(cls)) else {}
    require(cls(**given) == cls(**given), "two default instances are not equal")


@check(*FAMILIES, across=True)
def check_documentation(forms: tuple[Any, ...]) -> None:
    """The docstring names every parameter, and the paper if it is registered with one."""
    cls: Any = type(forms[0])
    doc = inspect.cleandoc(vars(cls).get("__doc__") or "")
    require(doc, "it has no docstring")
    first = doc.split("\n", 1)[0]
    require(first.endswith(".") and len(first) <= 110, f"the first line is no short sentence: {first!r}")
    require(not doc.startswith(f"{cls.__name__}("), "the docstring is the one dataclasses make up")
    described = _described(doc)
    missing = [
        p.name
        for p in params.parameters(cls)
        if p.name not in described and not _documented_by_base(cls, p.name)
    ]
    require(not missing, f"the Parameters section does not describe {listing(missing)}")
    unknown = described - {p.name for p in params.parameters(cls)}
    require(
        not unknown, f"the Parameters section describes {listing(sorted(unknown))}, which is no parameter"
    )
    entry = registry.entry_of(forms[0])
    require(
        "References" in doc or entry.paper in ("", registry.OWN),
        f"it is registered with the paper {entry.paper!r}, but has no References",
    )


@check("aggregators", "pre-aggregators", across=True)
def check_shapes_documented(forms: tuple[Any, ...]) -> None:
    """Some docstring of the rule or of the functions beside it gives the shapes of its tensors."""
    cls = type(forms[0])
    require(
        any(_SHAPE.search(doc) for doc in _docs(cls)),
        "no docstring of its module says a shape, as in 'Tensor [n, d]'",
    )


def _described(doc: str) -> set[str]:
    """Return the names in a numpydoc Parameters section."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", doc, re.S | re.M)
    lines = section[1].splitlines() if section else []
    return {
        name.strip()
        for line in lines
        if re.match(r"[\w, ]+ : ", line)
        for name in line.split(" : ")[0].split(",")
    }


def _documented_by_base(cls: type, name: str) -> bool:
    """Whether a base that declares `name` describes it (an attack's start, stop and placement)."""
    bases = (base for base in cls.__mro__[1:] if name in getattr(base, "__dataclass_fields__", {}))
    return any(name in _described(inspect.cleandoc(base.__doc__ or "")) for base in bases)


def _docs(cls: type) -> Iterator[str]:
    yield cls.__doc__ or ""
    module = sys.modules.get(cls.__module__)
    for value in vars(module).values() if module else ():
        if getattr(value, "__module__", None) == cls.__module__:
            yield value.__doc__ or ""
    for value in vars(cls).values():
        yield getattr(value, "__doc__", None) or ""
