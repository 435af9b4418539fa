"""The rows of ``list``: what each method is, needs and costs, and where it comes from."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from robustbench_fl.api import groups, registry
from robustbench_fl.api.families import family_of, strengths_of
from robustbench_fl.api.params import parameters
from robustbench_fl.api.references import references
from robustbench_fl.cli.output import rows_text
from robustbench_fl.core.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from robustbench_fl.api.registry import Entry


def method_rows(kind: str) -> list[dict[str, Any]]:
    """Return one row for each method of `kind`, or for each setting, all with the same keys."""
    if kind == "settings":
        return _setting_rows()
    make = {"aggregators": _aggregator_row, "attacks": _attack_row, "models": _model_row}.get(
        kind, _plain_row
    )
    return [make(entry) for entry in registry.load_all(kind)]


def group_rows(kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row for each group of `kinds`, with its members."""
    return [
        {"kind": kind, "group": group.name, "means": group.means, "methods": group.members}
        for kind in kinds
        if kind in registry.PACKAGES
        for group in groups.groups(kind).values()
    ]


def catalogue_page() -> str:
    """Return the tables of all kinds, of the groups and of the settings as one Markdown page."""
    parts = [
        "# Catalogue",
        "All methods with what they declare, as `robustbench-fl list --format md` prints them. What rules "
        "and attacks were compared with, and how far they agree: [faithfulness.md](faithfulness.md).",
    ]
    titles = {"datasets": "Data sets", "models": "Networks"}
    for kind in registry.PACKAGES:
        parts += [f"## {titles.get(kind, kind.capitalize())}", rows_text(method_rows(kind), "md")]
    parts += ["## Groups", rows_text(group_rows(list(registry.PACKAGES)), "md")]
    parts += ["## Settings", rows_text(method_rows("settings"), "md")]
    return "\n\n".join(parts)


def example(entry: Entry) -> str:
    """Return a command that runs the method in a small sweep."""
    from robustbench_fl.api import PreAggregator

    flag = {"aggregators": "-a", "attacks": "-t", "partitions": "-p", "datasets": "-d", "models": "-m"}[
        entry.kind
    ]
    text = f"'{entry.name} > median'" if issubclass(entry.cls, PreAggregator) else _call(entry)
    # A fifth malicious is what every rule can bear among the 20 clients that there are by default.
    return f"robustbench-fl sweep {flag} {text}{_company(entry)} -f 0.2"


def _company(entry: Entry) -> str:
    """Return the flags that a sweep of this method needs beside it."""
    if entry.kind == "aggregators":
        return " -t alie"
    if entry.kind == "attacks":
        return f" -a {_victim(entry)}"
    own = {"datasets": _download, "models": _large_images, "partitions": _columns}.get(entry.kind)
    return f"{own(entry) if own else ''} -a median -t alie"


def _call(entry: Entry) -> str:
    """Return the method's text, with words in place of what must be given."""
    required = [p.name for p in parameters(entry.cls) if p.required]
    if member := getattr(entry.cls, "member", None):
        return f"{entry.name}:{getattr(entry.cls, member)}"
    return f"'{entry.name}({', '.join(f'{name}=…' for name in required)})'" if required else entry.name


def family_lines(entry: Entry) -> list[str]:
    """Return the family of an attack and the members it gives to it, as text."""
    parameter: str = entry.cls.strength_parameter  # type: ignore[attr-defined]
    order = f", in the order of {parameter}" if parameter else ""
    return [f"Family: {family_of(entry.cls)}", f"Strengths{order}: {'; '.join(strengths_of(entry.cls))}"]


def _victim(entry: Entry) -> str:
    """Return the rule that an attack was made for, where its name says it, or a usual one."""
    made_for = [name for name in registry.names("aggregators") if entry.name.endswith(f"_{name}")]
    return max(made_for, key=len, default="median")


def _download(entry: Entry) -> str:
    from robustbench_fl.api import Dataset

    assert issubclass(entry.cls, Dataset)
    own = any(parameter.place for parameter in parameters(entry.cls))
    return "" if own or entry.cls.prepare is Dataset.prepare else " --download"


def _columns(entry: Entry) -> str:
    from robustbench_fl.api import Partition

    assert issubclass(entry.cls, Partition)
    return "" if entry.cls.spread is Partition.spread else " -d 'npz(path=…)'"


def _large_images(entry: Entry) -> str:
    """Return the data set that a network needs where the default's images are too small for it."""
    fitting = {
        (1, 8, 8): "",
        (1, 28, 28): " -d 'synthetic(side=28)'",
        (1, 32, 32): " -d 'synthetic(side=32)'",
    }
    found = [flag for shape, flag in fitting.items() if _n_params(entry, shape)]
    return found[0] if found else " -d cifar10 --download"


def _setting_rows() -> list[dict[str, Any]]:
    return [
        {
            "name": p.name,
            "type": "a choice" if axis.kind is str else p.type,
            "range": p.range,
            "unit": axis.about.unit,
            "default": axis.default if axis.kind is str else p.default,
            "does": axis.about.help,
        }
        for p in parameters(Settings)
        for axis in [SETTINGS[p.name]]
    ]


def _plain_row(entry: Entry) -> dict[str, Any]:
    return {"name": entry.name, **_source(entry)}


def _source(entry: Entry) -> dict[str, Any]:
    """Return where the method comes from: the paper, its year, the key of its BibTeX entry, what it does."""
    papers = references(entry.cls)
    return {
        "paper": entry.paper,
        "year": entry.year,
        "bibtex": papers[0].key if papers else "robustbench_fl",
        "does": _first_line(entry.cls),
    }


def _aggregator_row(entry: Entry) -> dict[str, Any]:
    from robustbench_fl.api import PreAggregator

    pre = issubclass(entry.cls, PreAggregator)
    rule = _made(entry)
    yardstick = getattr(entry.cls, "honest_only", False)
    needs = [need.value for need in sorted(rule.needs)] if rule else None
    return {
        "name": entry.name,
        "kind": "pre-aggregator" if pre else "yardstick" if yardstick else "rule",
        "needs": ["who is malicious"] if yardstick else needs,
        "detector": False if pre or not rule else rule.detector,
        "cost": entry.cost,
        **_source(entry),
    }


def _attack_row(entry: Entry) -> dict[str, Any]:
    attack = _made(entry)
    return {
        "name": entry.name,
        "kind": entry.cls.category,  # type: ignore[attr-defined]
        "family": family_of(entry.cls),
        "knows": attack.knowledge.name.lower() if attack else None,
        "knows_defence": entry.cls.knows_defence,  # type: ignore[attr-defined]
        "cost": entry.cost,
        **_source(entry),
    }


def _model_row(entry: Entry) -> dict[str, Any]:
    shapes = {"params_1x8x8": (1, 8, 8), "params_1x28x28": (1, 28, 28), "params_3x32x32": (3, 32, 32)}
    counts = {name: _n_params(entry, shape) for name, shape in shapes.items()}
    return {
        "name": entry.name,
        **counts,
        **_source(entry),
    }


def _n_params(entry: Entry, shape: tuple[int, int, int]) -> int | None:
    """Return the network's size with ten classes, ``None`` where it takes no such images."""
    from robustbench_fl.core.errors import UsageError

    family = _made(entry)
    try:
        return int(family.build(shape, 10).n_params) if family else None
    except UsageError:
        return None


def _made(entry: Entry) -> Any:
    """Return the method with its defaults, ``None`` if it cannot be made without a parameter."""
    return None if any(p.required for p in parameters(entry.cls)) else entry.cls()


def _first_line(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "").split("\n", 1)[0]
