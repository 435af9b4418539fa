"""Commands that look after sweeps' folders: list failures, clean, merge and verify."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from robustbench_fl.cli.options import PATH, folder_argument, plugin_option, take_over_option
from robustbench_fl.cli.output import format_option, print_rows
from robustbench_fl.cli.saying import say
from robustbench_fl.cli.where import Where, site_of, where_options
from robustbench_fl.core.counted import counted
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.foreign import command

if TYPE_CHECKING:
    from robustbench_fl.store import Store
    from robustbench_fl.store.cleaning import Removable

_SHOWN = 20


@click.command()
@folder_argument
@format_option
def failures(folder: Path, format_: str) -> None:
    """List the cells of a sweep that failed: one line each, with the reason and the log."""
    from robustbench_fl.core.status import FINAL
    from robustbench_fl.sweep.replan import existing
    from robustbench_fl.sweep.runner.observers import log_path

    rows = []
    for record in existing(folder).summaries():
        if record["status"] not in {*FINAL, "missing"}:
            log = log_path(folder, record["key"])
            rows.append({
                "key": record["key"], "status": record["status"], **record["labels"],
                "malicious": record["cell"]["malicious"], "seed": record["cell"]["seed"],
                "reason": " ".join((record.get("reason") or "").split()),
                "log": str(log) if log.is_file() else None,
            })  # fmt: skip
    if not rows and format_ == "table":
        say("No cell failed.")
        return
    print_rows(rows, format_)


@click.command()
@folder_argument
@click.option(
    "--stale",
    is_flag=True,
    help="Remove unfinished files, old claims, failed cells of no plan, and damaged files that are replaced.",
)
@click.option(
    "--failed",
    is_flag=True,
    help="Remove records of failed cells and timeouts, so that these count as missing.",
)
@click.option("--yes", is_flag=True, help="Remove without asking.")
@take_over_option
def clean(folder: Path, stale: bool, failed: bool, yes: bool, take_over: bool) -> None:
    """Remove what a sweep's folder no longer needs, after showing it.

    A finished cell whose record is whole is never removed, in the plan or not. Nothing is removed while a
    sweep is running in the folder.
    """
    from robustbench_fl.store import cleaning
    from robustbench_fl.sweep.replan import existing

    if stale == failed:
        raise UsageError(
            "Say what to remove: --stale or --failed." if not stale else "Give --stale or --failed, not both."
        )
    store = existing(folder)
    removable = (
        cleaning.stale(store, take_over=take_over) if stale else cleaning.failures(store, take_over=take_over)
    )
    if not removable.cells and not removable.files:
        say("Nothing to remove.")
        return
    _show(removable, folder)
    if not yes:
        click.confirm("Remove them?", abort=True)
    cleaning.remove(store, removable)
    say(f"Removed: {_counted(removable)}.")


@click.command()
@click.argument("folders", metavar="DIR...", nargs=-1, required=True, type=PATH)
@click.option("-o", "--out", required=True, type=PATH, metavar="DIR", help="The new folder.")
def merge(folders: tuple[Path, ...], out: Path) -> None:
    """Unite folders of one sweep, such as the shards of several machines, in a new folder.

    Settings must be the same. Rules, attacks, partitions, fractions and seeds may differ. A cell that
    several folders hold must have the same result in all of them.
    """
    from robustbench_fl.report.write import write_reports
    from robustbench_fl.sweep.merge import merge as merged
    from robustbench_fl.sweep.replan import existing

    done = merged(folders, out, lambda store: write_reports(store.records(), store.folder), existing)
    say(f"{done.stored} of {counted(done.planned, 'cell')} in {out}")
    if done.left_out:
        say(f"{done.left_out} stored cells are in no plan, and were left out.", err=True)


@click.command()
@folder_argument
@click.option(
    "--sample", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="Number of cells."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the sample.")
@plugin_option
@where_options
@format_option
def verify(
    folder: Path,
    sample: int,
    seed: int,
    plugins: tuple[Path, ...],
    where: Where,
    format_: str,
) -> None:
    """Run some stored cells of a sweep again, and compare.

    All files are read first. On the machine and with the versions that made a cell, its outcome must be
    the same bit for bit; elsewhere its final figures must agree to 1e-3. The exit code is 1 if a cell
    differs, none could be compared, or a file is damaged.
    """
    from robustbench_fl.sweep import verify as verifying
    from robustbench_fl.sweep.replan import existing
    from robustbench_fl.sweep.runner.processes import MethodProcess
    from robustbench_fl.sweep.runner.stopping import Stop

    store = existing(folder)
    damaged = store.reread()
    records = verifying.sampled(store, sample, seed)
    if not records:
        raise UsageError(f"{str(folder)!r} holds no finished cell to run again.")
    stop = Stop()
    again: dict[str, dict[str, Any]] = {}
    with MethodProcess(plugins) as methods:
        found = methods.call(verifying.planned_again, records)
        planned = {key: cell for key, cell in found.items() if not isinstance(cell, str)}
        with site_of(where, list(planned.values()), plugins, methods) as site, stop.on_signals():
            for record in site.backend(site.environment, None, None).run(planned.values(), stop):
                again[record.key] = record.model_dump(mode="json")
    if stop.requested:
        raise KeyboardInterrupt
    rows = [verifying.row(r, again.get(r["key"]) or _reason(found, r["key"])) for r in records]
    print_rows(rows, format_)
    verdicts = [row["verdict"] for row in rows]
    same, differing = verdicts.count("same"), verdicts.count("differs")
    counts = [f"{same} of {counted(len(rows), 'cell')} the same, {differing} different"]
    for verdict, words in _NOT_RUN.items():
        if verdicts.count(verdict) or verdict == "other version":
            counts.append(f"{verdicts.count(verdict)} {words}")
    say(f"{', '.join(counts)}; {len(damaged)} damaged files.", err=True)
    wrong = _wrong_tables(store)
    for name, why in wrong.items():
        say(f"{name} {why}.", err=True)
    for makes in sorted({"report" if name.endswith(".html") else "tables" for name in wrong}):
        say(f"Written anew by: {command('robustbench-fl', makes, folder)}", err=True)
    if differing or damaged or wrong or not same:
        raise click.exceptions.Exit(1)


_NOT_RUN = {
    "other version": "made by another version of their methods",
    "other code": "made by other code of a plug-in",
    "no plug-in": "of a plug-in that was not given (--plugin)",
}


def _wrong_tables(store: Store) -> dict[str, str]:
    """Return the stored tables, and the page, that are not what the cells give."""
    from robustbench_fl.analysis.coverage import Missing
    from robustbench_fl.cli.results import command_of
    from robustbench_fl.report.page.write import NAME, page
    from robustbench_fl.report.write import forged

    records = store.records()
    wrong = forged(records, store.folder)
    path = store.folder / NAME
    if path.is_file():
        title = str((store.read_sweep() or {}).get("name") or store.folder.resolve().name)
        pages = (page(records, title, command_of, missing) for missing in get_args(Missing))
        if path.read_text(errors="replace") not in pages:
            wrong[NAME] = "is not what this version makes of its cells"
    return wrong


def _reason(found: Mapping[str, Any], key: str) -> str | None:
    why = found.get(key)
    return why if isinstance(why, str) else None


def _show(removable: Removable, folder: Path) -> None:
    lines = [f"cell {key} {why}" for key, why in removable.cells.items()]
    lines += [f"{path.relative_to(folder)} {why}" for path, why in removable.files.items()]
    for line in lines[:_SHOWN]:
        say(line)
    if len(lines) > _SHOWN:
        say(f"… and {len(lines) - _SHOWN} more")


def _counted(removable: Removable) -> str:
    return f"{counted(len(removable.cells), 'record')}, {counted(len(removable.files), 'file')}"
