"""Commands that read a sweep's folder. None of them imports torch."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.cli.options import PATH, folder_argument, missing_option, take_over_option
from robustbench_fl.cli.output import format_option, rows_text
from robustbench_fl.cli.saying import say
from robustbench_fl.core.counted import counted
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.foreign import command

if TYPE_CHECKING:
    from robustbench_fl.analysis.coverage import Missing
    from robustbench_fl.store import Store


@click.command()
@folder_argument
@missing_option
@click.option(
    "--also",
    multiple=True,
    type=click.Choice(["latex", "json"]),
    help="Another format of each table, beside Markdown and CSV. May be given twice.",
)
def tables(folder: Path, missing: Missing, also: tuple[str, ...]) -> None:
    """Write cells.csv, all tables, matrices and figures of a sweep again from its cells."""
    from robustbench_fl.report.write import write_reports

    write_reports(_store(folder).records(), folder, missing, also=also)
    say(f"Tables, matrices and figures: {folder}")


@click.command()
@folder_argument
@take_over_option
def pack(folder: Path, take_over: bool) -> None:
    """Put a finished sweep's cell files into one compressed file."""
    store = _store(folder)
    say(f"{counted(store.pack(take_over=take_over), 'cell')} in {folder / 'cells.jsonl.gz'}")
    for name, packed in store.code.pack().items():
        if packed:
            say(f"Plug-in {packed}")
        else:
            say(f"The plug-in {name} is not here as it was run, and is left out.", err=True)


@click.command()
@folder_argument
@take_over_option
def unpack(folder: Path, take_over: bool) -> None:
    """Put a packed sweep's cells back into files of their own."""
    say(f"{counted(_store(folder).unpack(take_over=take_over), 'cell')} in {folder / 'cells'}")


@click.command()
@click.argument("key")
@click.argument("folder", metavar="[DIR]", required=False, type=PATH)
@format_option
def show(key: str, folder: Path | None, format_: str) -> None:
    """Show one cell and the one command that makes it again.

    KEY may be shortened. Without DIR, all folders in results/ are searched.
    """
    record = find_record(key, folder)
    if format_ == "json":
        import json

        say(json.dumps({**record, "command": command_of(record)}, indent=2))
        return
    rows = [{"what": name, "value": value} for name, value in _facts_of(record)]
    say(rows_text(rows, format_))
    if format_ == "table":
        if record.get("traceback"):
            say(f"\n{record['traceback']}")
        say(f"\nMake it again:\n{command_of(record)}")


def command_of(record: dict[str, Any]) -> str:
    """Return the command line that runs the cell of `record` alone."""
    from robustbench_fl.core.record import Labels
    from robustbench_fl.core.settings import Settings

    labels, cell = record["labels"], record["cell"]
    flags: list[tuple[str, Any]] = [
        (f"--{axis}", labels[axis]) for axis in labels if axis in Labels.model_fields
    ]
    flags += [("--malicious", cell["malicious"]), ("--seeds", f"{cell['seed']}:{cell['seed'] + 1}")]
    if cell["assumed_f"] is not None:
        flags.append(("--assumed-f", cell["assumed_f"]))
    skipped = {"schema", "engine", "malicious", "seed", "assumed_f", *labels}
    known = {field.name for field in fields(Settings)} - skipped  # a record of a stranger may say more
    flags += [
        (f"--{name.replace('_', '-')}", v) for name, v in cell.items() if name in known and v is not None
    ]
    flags += [("--plugin", name) for name in (record.get("provenance") or {}).get("plugins", {})]
    words = [word for pair in flags for word in pair]
    return command("robustbench-fl", "sweep", *words, "--name", f"again-{record['key']}")


def _facts_of(record: dict[str, Any]) -> list[tuple[str, Any]]:
    cell = record["cell"]
    facts: list[tuple[str, Any]] = [("key", record["key"]), ("status", record["status"])]
    if record.get("reason"):
        facts.append(("reason", record["reason"]))
    facts += list(record["labels"].items())
    facts += [(name, cell[name]) for name in cell if name not in ("schema", "engine", *record["labels"])]
    for part in ("metrics", "costs", "counts", "provenance"):
        facts += list((record.get(part) or {}).items())
    return facts


def find_record(key: str, folder: Path | None) -> dict[str, Any]:
    """Return the one record whose key begins with `key`, in `folder` or in all of results/.

    Raises
    ------
    UsageError
        If there is none, or more than one.
    """
    from robustbench_fl.sweep.replan import existing

    folders = [folder] if folder else sorted(path.parent for path in Path("results").glob("*/plan.jsonl.gz"))
    found = {
        record["key"]: record
        for place in folders
        for record in existing(place).records()
        if record["key"].startswith(key)
    }
    if len(found) != 1:
        searched = ", ".join(map(str, folders)) or "results/ (no sweep there)"
        problem = f"{len(found)} cells begin with" if found else "No cell has the key"
        raise UsageError(f"{problem} {key!r} in {searched}. Keys are in the first column of cells.csv.")
    return next(iter(found.values()))


def _store(folder: Path) -> Store:
    from robustbench_fl.sweep.replan import existing

    return existing(folder)
