"""Families of attacks: the strengths among which a pilot picks the worst, and the order they stand in.

Attacks declare it on their class (:class:`~robustbench_fl.api.attack.Attack`): the family's name, the
members that the class gives to it, and the parameter that is their scale.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from robustbench_fl.api import registry


def family_of(cls: type) -> str:
    """Return the family of the registered attack `cls`: what it declares, or its own name."""
    family: str = cls.family or cls.registered.name  # type: ignore[attr-defined]
    return family


def strengths_of(cls: type) -> tuple[str, ...]:
    """Return the members that the registered attack `cls` gives to its family, its default if it names none.

    Returns
    -------
    tuple of str
        Canonical texts, in the order in which the class names them; none for an attack that cannot
        be made without a parameter and names no member.
    """
    from robustbench_fl.api.params import parameters

    declared: tuple[str, ...] = cls.strengths  # type: ignore[attr-defined]
    if declared or any(parameter.required for parameter in parameters(cls)):
        return declared
    return (cls.registered.name,)  # type: ignore[attr-defined]


def families() -> dict[str, tuple[str, ...]]:
    """Return every family with its members, from all registered attacks but the clean setting.

    Returns
    -------
    dict of str to tuple of str
        Families sorted by name; members by attack, then as declared.
    """
    found: dict[str, tuple[str, ...]] = {}
    for entry in registry.load_all("attacks"):
        if entry.cls.category != "none":  # type: ignore[attr-defined]
            family = family_of(entry.cls)
            found[family] = (*found.get(family, ()), *strengths_of(entry.cls))
    return dict(sorted(found.items()))


def neighbours(text: str) -> tuple[str, ...]:
    """Return the members that differ from `text` in their strength alone, from weakest scale to largest.

    Parameters
    ----------
    text : str
        A member of a family; itself among the result if it stands on a scale.

    Returns
    -------
    tuple of str
        Empty where the class declares no scale, or the member has no number on it (a default
        that is computed).

    Examples
    --------
    >>> neighbours("ipm")
    ('ipm(epsilon=0.1)', 'ipm', 'ipm(epsilon=2)', 'ipm(epsilon=10)', 'ipm(epsilon=100)')
    """
    from robustbench_fl.api.build import make, text_of

    attack = make("attacks", text)
    cls = type(attack)
    parameter: str = cls.strength_parameter
    if not parameter or not _is_number(getattr(attack, parameter)):
        return ()
    members = [make("attacks", member) for member in strengths_of(cls)]
    line = [
        member
        for member in members
        if _is_number(getattr(member, parameter)) and _but(parameter, member) == _but(parameter, attack)
    ]
    return tuple(text_of(member) for member in sorted(line, key=lambda member: getattr(member, parameter)))


def at_edge(text: str) -> bool:
    """Whether `text` is the first or last of two or more strengths: a still worse one may lie beyond.

    Examples
    --------
    >>> at_edge("ipm(epsilon=100)"), at_edge("ipm(epsilon=2)"), at_edge("zero")
    (True, False, False)
    """
    from robustbench_fl.api.build import make, text_of

    line = neighbours(text)
    return len(line) > 1 and text_of(make("attacks", text)) in (line[0], line[-1])


def _but(parameter: str, attack: Any) -> dict[str, Any]:
    """Return all parameters of `attack` but one."""
    return {field.name: getattr(attack, field.name) for field in fields(attack) if field.name != parameter}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
