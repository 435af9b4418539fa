"""``sweep`` and ``plan``."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.cli.finishing import finish
from robustbench_fl.cli.options import calibrate_option, choice_of, choice_options, sweep_of, sweep_options
from robustbench_fl.cli.output import format_option
from robustbench_fl.cli.plan_text import plan_text, times_of
from robustbench_fl.cli.running import Running, Watch, run_options
from robustbench_fl.cli.saying import say
from robustbench_fl.cli.where import Site, Where, environment_of, here_options, site_of, where_options
from robustbench_fl.core.counted import counted

if TYPE_CHECKING:
    from robustbench_fl.store import Store
    from robustbench_fl.sweep.config import Sweep
    from robustbench_fl.sweep.run import Prepared
    from robustbench_fl.sweep.runner.processes import MethodProcess
    from robustbench_fl.sweep.timing import Times


@click.command()
@sweep_options
@choice_options
@where_options
@calibrate_option
@run_options
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
def sweep(
    file: Path | None,
    where: Where,
    calibrate: bool,
    running: Running,
    dry_run: bool,
    out: Path | None,
    plugins: tuple[Path, ...],
    **flags: Any,
) -> int:
    """Run a sweep. FILE.toml describes it, or flags do; a flag replaces the file's value.

    A flag for an axis or a setting may be repeated or hold a comma-separated list. Finished cells are
    kept: the same command runs only what is missing. A folder may grow.
    """
    from robustbench_fl.sweep.runner.processes import MethodProcess

    asked = sweep_of(file, {**flags, "plugins": plugins})
    plugins = tuple(map(Path, asked.plugins))
    with MethodProcess(plugins, ready_for="robustbench_fl.sweep.expand") as methods:
        prepared, store = _prepare(asked, file, out, methods, flags, where.data_dir, running)
        say(headline(prepared, store))
        if dry_run and not calibrate:
            say(plan_text(prepared, times_of(prepared, store), where.jobs, "table"))
            return 0
        with site_of(where, prepared.pending, plugins, methods) as site:
            times = times_of(prepared, store, calibrate, site.backend(site.environment, None, None))
            if dry_run:
                say(plan_text(prepared, times, site.jobs, "table"))
                return 0
            run_at(site, prepared, store, running, times)
    return finish(store, [planned.cell.key for planned in prepared.chosen])


def run_at(site: Site, prepared: Prepared, store: Store, running: Running, times: Times) -> None:
    """Run what is to do on machines that are ready, watched, the longest cells first."""
    from robustbench_fl.sweep.run import run
    from robustbench_fl.sweep.timing import expected, ordered

    prepared = replace(prepared, pending=ordered(prepared.pending, times))
    environment = replace(site.environment, folder=store.folder.resolve())
    watch = Watch(running, prepared, store, site.jobs, expected(prepared.pending, times))
    with watch.watching():
        backend = site.backend(environment, running.policy, watch.logs.keep)
        say = partial(click.echo, err=True)
        run(prepared, store, backend, watch.finished, watch.stop, watch.tell, say, running.take_over)


@click.command()
@sweep_options
@choice_options
@here_options
@calibrate_option
@format_option
def plan(
    file: Path | None,
    out: Path | None,
    plugins: tuple[Path, ...],
    where: Where,
    calibrate: bool,
    format_: str,
    **flags: Any,
) -> None:
    """Show what a sweep would run, without reading data: cells by axis, infeasible ones, time.

    It takes the flags of `sweep`. Times come from finished cells of the folder, or from --calibrate,
    which reads data and runs cells. Your own data sets are read, since cells are named by their content.
    """
    from robustbench_fl.sweep.runner.local import LocalBackend
    from robustbench_fl.sweep.runner.processes import MethodProcess

    backend = None
    asked = sweep_of(file, {**flags, "plugins": plugins})
    plugins = tuple(map(Path, asked.plugins))
    with MethodProcess(plugins, ready_for="robustbench_fl.sweep.expand") as methods:
        prepared, store = _prepare(asked, file, out, methods, flags, where.data_dir)
        if format_ == "table":
            say(headline(prepared, store))
        if calibrate:
            backend = LocalBackend(where.jobs, environment_of(where, prepared.pending, plugins, methods))
    times = times_of(prepared, store, calibrate, backend)
    say(plan_text(prepared, times, where.jobs, format_))


def _prepare(
    asked: Sweep,
    file: Path | None,
    out: Path | None,
    methods: MethodProcess,
    flags: dict[str, Any],
    data_dir: Path | None,
    running: Running | None = None,
) -> tuple[Prepared, Store]:
    from robustbench_fl.store import Store
    from robustbench_fl.sweep.run import default_folder, prepare

    store = Store(out or default_folder(asked.name))
    prepared = prepare(
        asked,
        store,
        source=file.name if file else "",
        existing=running.existing if running else "missing",
        retry_failed=bool(running and running.retry_failed),
        keep_stale=bool(running and running.keep_stale),
        choice=choice_of(flags),
        methods=methods,
        data_dir=data_dir,
    )
    return prepared, store


def headline(prepared: Prepared, store: Store) -> str:
    """Return how many cells there are, how many of them are to run, and where."""
    infeasible = sum(planned.infeasible is not None for planned in prepared.chosen)
    due = sum(planned.infeasible is None for planned in prepared.pending)
    text = f"{prepared.sweep.name}: {counted(len(prepared.plan), 'cell')}"
    if len(prepared.chosen) < len(prepared.plan):
        text += f", {len(prepared.chosen)} chosen"
    text += f", {due} to run"
    if infeasible:
        text += f", {infeasible} infeasible"
    if prepared.stale:
        changed = sorted({name for stale in prepared.stale.values() for name in stale.changed})
        kept = " (kept)" if any(planned.kept_of for planned in prepared.plan) else ""
        text += f", {len(prepared.stale)} stale: {', '.join(changed)} changed{kept}"
    text = f"{text} -> {store.folder}"
    if prepared.sweep.plugins:
        text += f"\nPlug-ins that are run: {', '.join(prepared.sweep.plugins)}"
    return text
