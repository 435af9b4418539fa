"""Attacks: the members that they give to their family."""

from __future__ import annotations

from robustbench_fl.api import Attack
from robustbench_fl.api.build import make, text_of
from robustbench_fl.api.families import neighbours, strengths_of
from robustbench_fl.api.registry import name_of
from robustbench_fl.conformance.checks import check, listing, require
from robustbench_fl.core.errors import UsageError


@check("attacks")
def check_strengths(attack: Attack) -> None:
    """Every member of its grid can be made and is named once, the default among them; a scale has numbers."""
    cls = type(attack)
    members = strengths_of(cls)
    for text in members:
        try:
            member = make("attacks", text)
        except UsageError as error:
            require(False, f"the strength {text!r} cannot be made: {error}")
        require(isinstance(member, cls), f"the strength {text!r} is another attack")
        require(text_of(member) == text, f"the strength {text!r} is written {text_of(member)!r}")
    require(len(set(members)) == len(members), f"a strength is named twice: {listing(members)}")
    require(
        not members or name_of(attack) in members,
        f"the default is not among its strengths {listing(members)}",
    )
    if cls.strength_parameter:
        require(hasattr(attack, cls.strength_parameter), f"it has no parameter {cls.strength_parameter!r}")
        require(
            any(len(neighbours(text)) > 1 for text in members),
            f"no two of its strengths differ in {cls.strength_parameter!r} alone",
        )
