"""``list`` and ``describe``: what there is to choose from."""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from robustbench_fl.api.registry import PACKAGES
from robustbench_fl.cli.options import complete_method
from robustbench_fl.cli.output import format_option, print_rows
from robustbench_fl.core.settings import SETTINGS

_PLUGIN = click.option(
    "--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE.py",
    help="Python file that registers further methods.",
)  # fmt: skip


@click.command("list")
@click.argument("kind", type=click.Choice([*PACKAGES, "settings"]), required=False)
@click.option("--names", "names_only", is_flag=True, help="Names only, without importing anything.")
@click.option("--groups", "groups_only", is_flag=True, help="Groups of methods, such as @detectors.")
@format_option
@_PLUGIN
def list_(
    kind: str | None, names_only: bool, groups_only: bool, format_: str, plugins: tuple[Path, ...]
) -> None:
    """List aggregators, attacks, partitions, datasets or models with what they need; or the settings."""
    from robustbench_fl.api import registry
    from robustbench_fl.cli import capabilities

    for path in plugins:
        registry.load_plugin(path)
    kinds = [kind] if kind else list(PACKAGES)
    if groups_only:
        print_rows(capabilities.group_rows(kinds), format_)
        return
    if names_only:
        rows = [{"kind": k, "name": name} for k in kinds for name in _names(k)]
        if format_ == "table":
            click.echo("\n".join(row["name"] for row in rows))
        else:
            print_rows(rows, format_)
        return
    if kind is None and format_ in ("csv", "json"):
        rows = [{**row, "kind": k} for k in kinds for row in capabilities.method_rows(k)]
        print_rows(
            [{key: row.get(key) for key in ("kind", "name", "paper", "year", "does")} for row in rows],
            format_,
        )
        return
    if kind is None and format_ == "md":
        click.echo(capabilities.catalogue_page())
        return
    for number, k in enumerate(kinds):
        if kind is None:
            click.echo(("\n" if number else "") + k.upper() + "\n")
        print_rows(capabilities.method_rows(k), format_)


def _names(kind: str) -> list[str]:
    from robustbench_fl.api.registry import names

    return list(SETTINGS) if kind == "settings" else names(kind)


@click.command()
@click.argument("name", shell_complete=complete_method)
@format_option
@click.option(
    "--bibtex", "as_bibtex", is_flag=True, help="Print the papers it cites as BibTeX, its own first."
)
@_PLUGIN
def describe(name: str, format_: str, as_bibtex: bool, plugins: tuple[Path, ...]) -> None:
    """Describe a method: what it does, its parameters with types, ranges and defaults, its source."""
    from robustbench_fl.api import params, registry
    from robustbench_fl.api.faithfulness import faithfulness
    from robustbench_fl.api.references import bibtex
    from robustbench_fl.cli.capabilities import example, family_lines
    from robustbench_fl.core.errors import UsageError, did_you_mean

    for path in plugins:
        registry.load_plugin(path)
    homes = [kind for kind in PACKAGES if name in registry.names(kind)]
    if not homes:
        known = [n for kind in PACKAGES for n in registry.names(kind)]
        raise UsageError(
            f"Unknown method {name!r}.\n{did_you_mean(name, known)}   "
            "All of them: robustbench-fl list --names"
        )
    entries = [registry.entry(kind, name) for kind in homes]
    if as_bibtex:
        click.echo("\n\n".join(bibtex(entry.cls) for entry in entries))
        return
    rows = [
        {
            "parameter": p.name,
            "type": p.type,
            "range": p.range,
            "default": "required" if p.required else p.default,
        }
        for entry in entries
        for p in params.parameters(entry.cls)
    ]
    if format_ != "table":
        print_rows(rows, format_)
        return
    for entry in entries:
        click.echo(f"{entry.name} ({entry.kind.removesuffix('s')})\n")
        click.echo(inspect.cleandoc(entry.cls.__doc__ or ""))
    if rows:
        click.echo("")
        print_rows(rows, "table")
    for entry in entries:
        if entry.kind == "attacks":
            click.echo("\n" + "\n".join(family_lines(entry)))
        click.echo(f"\nExample: {example(entry)}")
        if faithfulness(entry.cls):
            click.echo(f"Compared with its paper and releases: docs/faithfulness.md#{entry.name}")
