"""``list`` and ``describe``: what each method is, needs and costs, and where it comes from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from robustbench_fl.api import registry
from robustbench_fl.api.registry import PACKAGES
from robustbench_fl.api.spec import format_value
from robustbench_fl.cli.answers import remembered
from robustbench_fl.cli.options import complete_method, plugin_option
from robustbench_fl.cli.output import format_option, print_rows, rows_text
from robustbench_fl.cli.saying import say
from robustbench_fl.core.errors import UsageError, nearest_or_own
from robustbench_fl.core.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from robustbench_fl.api.registry import Entry


@click.command("list")
@click.argument("kind", type=click.Choice([*PACKAGES, "settings"]), required=False)
@click.option("--names", "names_only", is_flag=True, help="Print names only.")
@click.option("--groups", "groups_only", is_flag=True, help="Groups of methods, such as @detectors.")
@format_option
@plugin_option
def list_(
    kind: str | None, names_only: bool, groups_only: bool, format_: str, plugins: tuple[Path, ...]
) -> None:
    """List aggregators, attacks, partitions, datasets or models and what they need; or the settings."""
    for path in plugins:
        registry.load_plugin(path)
    kinds = [kind] if kind else list(PACKAGES)
    if groups_only:
        print_rows(_group_rows(kinds), format_)
    elif names_only:
        rows = [{"kind": k, "name": name} for k in kinds for name in _names(k)]
        say("\n".join(row["name"] for row in rows) if format_ == "table" else rows_text(rows, format_))
    elif kind:
        print_rows(method_rows(kind), format_)
    elif format_ == "md":
        say(_page())
    elif format_ == "table":
        parts = [f"{k.upper()}\n\n{rows_text(method_rows(k), format_)}" for k in kinds]
        say("\n\n".join(parts))
    else:
        shared = ("name", "paper", "year", "does")
        rows = [{"kind": k, **{key: row[key] for key in shared}} for k in kinds for row in method_rows(k)]
        print_rows(rows, format_)


@click.command()
@click.argument("name", shell_complete=complete_method)
@format_option
@click.option(
    "--bibtex", "as_bibtex", is_flag=True, help="Print the papers it cites as BibTeX, its own first."
)
@plugin_option
def describe(name: str, format_: str, as_bibtex: bool, plugins: tuple[Path, ...]) -> None:
    """Describe a method: what it does, its parameters with types, ranges and defaults, its source."""
    for path in plugins:
        registry.load_plugin(path)
    homes = [kind for kind in PACKAGES if name in registry.names(kind)]
    if not homes:  # an alias, or a mistake
        homes = [kind for kind in PACKAGES if registry.is_known(kind, name)]
    if not homes:
        known = [n for kind in PACKAGES for n in registry.names(kind)]
        raise UsageError(
            f"Unknown method {name!r}.\n{nearest_or_own(name, known)}   "
            "All of them: robustbench-fl list --names"
        )
    found = [_known(["describe", kind, name], partial(_description, kind, name)) for kind in homes]
    rows = [row for one in found for row in one["parameters"]]
    if as_bibtex:
        say("\n\n".join(one["bibtex"] for one in found))
    elif format_ != "table":
        print_rows(rows, format_)
    else:
        say("\n".join(one["text"] for one in found))
        if rows:
            say("")
            print_rows(rows, "table")
        for line in (line for one in found for line in one["notes"]):
            say(f"\n{line}")


def _description(kind: str, name: str) -> dict[str, Any]:
    """Return what `describe` says of a method."""
    from robustbench_fl.api.faithfulness import faithfulness
    from robustbench_fl.api.params import parameters
    from robustbench_fl.api.references import bibtex

    entry = registry.entry(kind, name)
    notes = ["\n".join(_family_lines(entry))] if kind == "attacks" else []
    if kind == "aggregators":
        notes.append(_tuning_line(entry))
    if faithfulness(entry.cls):
        notes.append(f"Compared with its paper and releases: docs/faithfulness.md#{entry.name}")
    return {
        "text": f"{entry.name} ({kind.removesuffix('s')})\n\n{inspect.cleandoc(entry.cls.__doc__ or '')}",
        "parameters": [
            {
                "parameter": p.name,
                "type": p.type,
                "range": p.range,
                "default": "required" if p.required else p.default,
            }
            for p in parameters(entry.cls)
        ],
        "bibtex": bibtex(entry.cls),
        "notes": notes,
    }


def method_rows(kind: str) -> list[dict[str, Any]]:
    """Return one row for each method of `kind`, or for each setting, all with the same keys."""
    if kind == "settings":
        return _setting_rows()
    make = {"aggregators": _aggregator_row, "attacks": _attack_row, "models": _model_row}.get(
        kind, _plain_row
    )
    found = _known(["list", kind], lambda: [make(entry) for entry in registry.load_all(kind)])
    return cast("list[dict[str, Any]]", found)


def _known(asked: list[str], make: Callable[[], Any]) -> Any:
    """Return what `make` finds out about methods; of the built-in ones, what it found out before."""
    return make() if registry.has_plugins() else remembered(asked, make)


def _names(kind: str) -> list[str]:
    return list(SETTINGS) if kind == "settings" else registry.names(kind)


def _group_rows(kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row for each group of `kinds`, with its members."""
    from robustbench_fl.api.groups import groups

    def rows(kind: str) -> list[dict[str, Any]]:
        return [
            {"kind": kind, "group": group.name, "means": group.means, "methods": group.members}
            for group in groups(kind).values()
        ]

    return [
        row for kind in kinds if kind in PACKAGES for row in _known(["groups", kind], partial(rows, kind))
    ]


def _page() -> str:
    """Return the tables of all kinds, of the groups and of the settings as one Markdown page."""
    parts = [
        "# Catalogue",
        "All methods with what they declare, as `robustbench-fl list --format md` prints them.\nWhat rules "
        "and attacks were compared with, and how far they agree: [faithfulness.md](faithfulness.md).",
    ]
    titles = {"datasets": "Data sets", "models": "Networks"}
    for kind in PACKAGES:
        parts += [f"## {titles.get(kind, kind.capitalize())}", rows_text(method_rows(kind), "md")]
    parts += ["## Groups", rows_text(_group_rows(list(PACKAGES)), "md")]
    parts += ["## Settings", rows_text(method_rows("settings"), "md")]
    return "\n\n".join(parts)


def _family_lines(entry: Entry) -> list[str]:
    """Return the family of an attack and the members it gives to it, as text."""
    from robustbench_fl.api.families import family_of, strengths_of

    parameter: str = entry.cls.strength_parameter  # type: ignore[attr-defined]
    order = f", in the order of {parameter}" if parameter else ""
    return [f"Family: {family_of(entry.cls)}", f"Strengths{order}: {'; '.join(strengths_of(entry.cls))}"]


def _tuning_line(entry: Entry) -> str:
    """Return the grid that `pilot --tune` goes through, as text."""
    grid: Mapping[str, Sequence[Any]] = entry.cls.tuning  # type: ignore[attr-defined]
    texts = [f"{name} in {', '.join(map(format_value, values))}" for name, values in grid.items()]
    return f"Tuned by pilot --tune: {'; '.join([*texts, 'the client learning rate'])}"


def _setting_rows() -> list[dict[str, Any]]:
    from robustbench_fl.api.params import parameters

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
    from robustbench_fl.api.references import references

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
    baseline = getattr(entry.cls, "baseline", None)
    needs = [need.value for need in sorted(rule.needs)] if rule else None
    return {
        "name": entry.name,
        "kind": "pre-aggregator" if pre else "baseline" if baseline else "rule",
        "needs": ["who is malicious"] if baseline == "honest" else needs,
        "detector": False if pre or not rule else rule.detector,
        "cost": entry.cost,
        **_source(entry),
    }


def _attack_row(entry: Entry) -> dict[str, Any]:
    from robustbench_fl.api.families import family_of

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
    from robustbench_fl.models.sizes import SHAPES, sizes

    made = _made(entry)
    return {
        "name": entry.name,
        **(sizes(entry) if made else dict.fromkeys(SHAPES)),
        **_source(entry),
    }


def _made(entry: Entry) -> Any:
    """Return the method with its defaults, ``None`` if it cannot be made without a parameter."""
    from robustbench_fl.api.params import parameters

    return None if any(p.required for p in parameters(entry.cls)) else entry.cls()


def _first_line(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "").split("\n", 1)[0].replace("`", "")
