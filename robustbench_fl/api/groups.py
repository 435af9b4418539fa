"""Groups of methods: ``@all``, ``@detectors``, ``@untargeted`` stand for the methods they name.

A group is decided by what its methods declare, plug-ins included, when a sweep is read; a sweep's
folder holds the methods, never the group. Pre-aggregators are in no group: they are no rules, and
``nnm > @detectors`` puts one before each of a group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from robustbench_fl.api import registry
from robustbench_fl.api.spec import GROUP_MARK, Call, format_chain, parse_chain
from robustbench_fl.core.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Group:
    """Methods of one kind that have something in common.

    Parameters
    ----------
    kind : str
        A key of :data:`robustbench_fl.api.registry.PACKAGES`.
    name : str
        What it is written as, with the mark: ``"@detectors"``.
    means : str
        Who belongs to it, for people.
    holds : callable
        Whether a method with its default parameters belongs to it.
    """

    kind: str
    name: str
    means: str
    holds: Callable[[Any], bool]

    @property
    def members(self) -> list[str]:
        """Names of its methods, sorted; those that cannot be made without a parameter are left out."""
        methods = ((entry.name, entry.cls) for entry in registry.load_all(self.kind))
        return [name for name, cls in methods if _stands_alone(cls) and self.holds(cls())]


def groups(kind: str) -> Mapping[str, Group]:
    """Return the groups of `kind` by name, importing no method."""
    return _GROUPS[kind]


def ungrouped(kind: str, text: str, where: str = "") -> list[str]:
    """Return the texts meant by `text`: one for each method of its group, or itself without one.

    Parameters
    ----------
    kind : str
        ``"aggregators"``, ``"attacks"`` …
    text : str
        One chain, such as ``"krum"``, ``"@all"`` or ``"nnm > @needs-nothing"``.
    where : str
        Where it comes from, for the error message.

    Raises
    ------
    UsageError
        If there is no such group, or it does not stand last.

    Examples
    --------
    >>> ungrouped("attacks", "@backdoor")[:3]
    ['a3fl', 'badnets', 'chameleon']
    """
    chain = parse_chain(text, where)
    place = f" in {where}" if where else ""
    named = [call.name for call in chain if call.name.startswith(GROUP_MARK)]
    if not named:
        return [text]
    for name in named:
        if name not in _GROUPS[kind]:
            raise UsageError(
                f"Unknown group {name!r} of {kind}{place}.\n"
                f"{did_you_mean(name, _GROUPS[kind])}   "
                f"All of them: robustbench-fl list {kind} --groups"
            )
    if named != [chain[-1].name]:
        raise UsageError(f"{named[0]!r}{place} is a group of rules; it can only come last.")
    members = _GROUPS[kind][named[0]].members
    if not members:
        raise UsageError(f"The group {named[0]!r}{place} is empty: none of the {kind} belongs to it.")
    return [format_chain((*chain[:-1], Call(name))) for name in members]


def _stands_alone(cls: type) -> bool:
    from robustbench_fl.api.aggregator import PreAggregator
    from robustbench_fl.api.params import parameters

    required = any(parameter.required for parameter in parameters(cls))
    return not required and not issubclass(cls, PreAggregator)


def _is_targeted(attack: Any) -> bool:
    """Whether the attack says how its success on chosen images is measured."""
    from robustbench_fl.api.attack import Attack

    cls = type(attack)
    said = ("test_trigger", "current_trigger", "test_flip")
    return any(getattr(cls, name) is not getattr(Attack, name) for name in said)


def _is_untargeted(attack: Any) -> bool:
    return attack.category != "none" and not attack.adaptive and not _is_targeted(attack)


_FOUND = (
    Group(
        "aggregators",
        "@all",
        "All rules, and the baseline oracle_mean; no other baselines, no pre-aggregators.",
        lambda rule: rule.baseline in (None, "honest"),
    ),
    Group(
        "aggregators", "@detectors", "Rules that accuse clients (TPR and FPR).", lambda rule: rule.detector
    ),
    Group(
        "aggregators",
        "@baselines",
        "What rules are compared with, never ranked: honest clients only, root set only, clients alone.",
        lambda rule: rule.baseline is not None,
    ),
    Group(
        "aggregators",
        "@needs-nothing",
        "Rules that know nothing but the updates: no f, root data, model, client identity or history.",
        lambda rule: not rule.needs and rule.baseline is None,
    ),
    Group("attacks", "@all", "All attacks, and none, the clean setting.", lambda attack: True),
    Group(
        "attacks", "@untargeted", "Attacks on accuracy as a whole, not fitted to the rule.", _is_untargeted
    ),
    Group("attacks", "@targeted", "Backdoors and flips of one class, with a success rate.", _is_targeted),
    Group("attacks", "@backdoor", "Targeted attacks by a trigger.", lambda a: a.category == "backdoor"),
    Group(
        "attacks", "@adaptive", "Attacks fitted to the rule that they face.", lambda attack: attack.adaptive
    ),
    Group("partitions", "@all", "All partitions.", lambda partition: True),
    Group("datasets", "@all", "All data sets.", lambda dataset: True),
    Group("models", "@all", "All networks.", lambda model: True),
)
_GROUPS: Mapping[str, Mapping[str, Group]] = MappingProxyType(
    {
        kind: MappingProxyType({group.name: group for group in _FOUND if group.kind == kind})
        for kind in registry.PACKAGES
    }
)
