"""``suite``: the standard suite listed, explained, run, and read as tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.cli.options import choice_options, plugin_option
from robustbench_fl.cli.output import format_option, print_rows
from robustbench_fl.cli.running import Running, run_options
from robustbench_fl.cli.saying import say
from robustbench_fl.cli.where import Where, where_options
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.foreign import command

if TYPE_CHECKING:
    from robustbench_fl.cli.suite_run import Job
    from robustbench_fl.sweep.config import Sweep
    from robustbench_fl.sweep.suites import Block, Suite, Tier

name_argument = click.argument("name", metavar="NAME")
tier_option = click.option("--tier", metavar="TIER", help="smoke, cpu or gpu.  [default: cpu]")
block_option = click.option(
    "--block", "blocks", multiple=True, metavar="NAME", help="These blocks alone; suite show names them."
)


@click.group()
def suite() -> None:
    """Run the standard suite, place a rule of your own in it, and read its tables.

    \b
    robustbench-fl suite show rbfl-1
    robustbench-fl suite run rbfl-1 --tier cpu --only-rule my_rule --plugin my_rule.py
    robustbench-fl suite table rbfl-1 --tier cpu
    """


@suite.command("list")
@format_option
def list_(format_: str) -> None:
    """List the suites with their tiers: cells, and how long they take."""
    from robustbench_fl.cli.suite_show import tier_rows
    from robustbench_fl.sweep.suites import read_suite, suites

    print_rows([row for name in suites() for row in tier_rows(read_suite(name))], format_)


@suite.command("show")
@name_argument
@tier_option
@format_option
def show_(name: str, tier: str | None, format_: str) -> None:
    """Say what a suite runs: worlds, rules, attacks, seeds, and the time it takes."""
    from robustbench_fl.cli.suite_show import block_rows, protocol
    from robustbench_fl.sweep.suites import read_suite

    found = read_suite(name)
    tiers = [_tier(found, tier)] if tier else list(found.tiers)
    if format_ != "table":
        print_rows([row for one in tiers for row in block_rows(found, one)], format_)
        return
    say(protocol(found, tiers))


@suite.command("run")
@name_argument
@tier_option
@block_option
@click.option(
    "--only-rule", "rule", metavar="SPEC",
    help="Run this rule alone, its pilot first, and place it among the stored results of the others.",
)  # fmt: skip
@click.option(
    "-d", "--dataset", metavar="SPEC",
    help="Run the same protocol on other data, such as npz(path=mine.npz); marked so in every table.",
)  # fmt: skip
@click.option("--pilot-only", is_flag=True, help="Stop when strengths and tuned rules are picked.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder.  [default: results/NAME-TIER, then the rule or the data set]")  # fmt: skip
@plugin_option
@choice_options
@where_options
@run_options
def run_(
    name: str,
    tier: str | None,
    blocks: tuple[str, ...],
    rule: str | None,
    dataset: str | None,
    pilot_only: bool,
    out: Path | None,
    plugins: tuple[Path, ...],
    where: Where,
    running: Running,
    **flags: Any,
) -> int:
    """Run what of a tier is missing, block by block, and print its tables.

    Where strengths of attacks are not picked yet, a pilot picks them first. Finished blocks are packed.
    The same command goes on where it was stopped.
    """
    from robustbench_fl.cli.suite_place import place, print_tables
    from robustbench_fl.cli.suite_run import Job, run_block, slug
    from robustbench_fl.sweep.suites import blocks_of, read_suite, stored_at

    found = read_suite(name)
    wanted = _tier(found, tier)
    overrides: dict[str, Any] = {"plugins": [str(path) for path in plugins]}
    home = stored_at(wanted)
    if dataset:
        overrides["dataset"] = [dataset]
        home = Path("results") / f"{wanted.full_name}-on-{slug(dataset)}"
    own = home
    if rule:
        overrides["aggregator"] = [rule]
        own = Path("results") / f"{home.name}-{slug(rule)}"
    elif not dataset:
        own = Path("results") / wanted.full_name
    on = re.sub(r"(path=)[^,)]*/", r"\1", dataset or "")  # provenance names no folder
    stored = None if rule or dataset else home
    job = Job(found, wanted, overrides, out or own, stored, on, where, running, flags)
    chosen = blocks_of(wanted, blocks)
    if rule:
        chosen = _open(job, chosen)
    codes = [run_block(job, block, pilot_only=pilot_only) for block in chosen]
    if pilot_only:
        return max(codes)
    if rule:
        place(wanted, chosen, home, job.out)
    else:
        print_tables(wanted, [block.name for block in chosen], job.out, "", "table")
    return max(codes)


@suite.command("table")
@name_argument
@tier_option
@block_option
@click.option("--track", type=click.Choice(["A", "B", "C", "D"]), default=None, help="One track alone.")
@click.option("--results", type=click.Path(path_type=Path), metavar="DIR",
              help="Folder of the tier's results.  [default: results/NAME-TIER]")  # fmt: skip
@format_option
def table_(
    name: str, tier: str | None, blocks: tuple[str, ...], track: str | None, results: Path | None,
    format_: str,
) -> None:  # fmt: skip
    """Print the leaderboards of a tier: block by block, then over the main blocks; one a track."""
    from robustbench_fl.cli.suite_place import print_tables
    from robustbench_fl.sweep.suites import blocks_of, read_suite, stored_at

    found = read_suite(name)
    wanted = _tier(found, tier)
    names = [block.name for block in blocks_of(wanted, blocks)]
    folder = results or stored_at(wanted)
    if not print_tables(wanted, names, folder, track or "", format_):
        run = command("robustbench-fl", "suite", "run", name, "--tier", wanted.name)
        raise UsageError(f"No block of the tier {wanted.name} has results in {str(folder)!r} yet. Run {run}")


def _tier(suite: Suite, name: str | None) -> Tier:
    return suite.tier(name or "cpu")


def _open(job: Job, blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """Return the blocks in which a further rule runs.

    Raises
    ------
    UsageError
        If there is none, or the rule is one of the suite.
    """
    from robustbench_fl.cli.suite_run import speaks_of_f
    from robustbench_fl.sweep.runner.processes import MethodProcess

    given = {name: job.overrides[name] for name in ("aggregator", "plugins")}
    (rule,) = given["aggregator"]
    plugins = tuple(map(Path, given["plugins"]))
    with MethodProcess(plugins, ready_for="robustbench_fl.sweep.expand") as methods:
        known = {text for block in blocks for text in methods.call(rules_of, block.sweep())}
        texts = methods.call(rules_of, blocks[0].sweep(given))
        if len(texts) != 1:
            raise UsageError(f"--only-rule takes one rule; {rule!r} means {', '.join(texts)}.")
        if texts[0] in known:
            raise UsageError(
                f"{texts[0]} is a rule of {job.suite.name} itself. See where it stands: robustbench-fl "
                f"suite table {job.suite.name} --tier {job.tier.name}"
            )
        kept = [block for block in blocks if block.open and methods.call(speaks_of_f, block.sweep(given))]
    if not kept:
        raise UsageError(f"None of the blocks {', '.join(b.name for b in blocks)} is run for a further rule.")
    return tuple(kept)


def rules_of(sweep: Sweep) -> list[str]:
    """Return the canonical texts of the rules of a sweep."""
    from robustbench_fl.sweep.expand import canonical

    return list(dict.fromkeys(rule for grid in canonical(sweep).grids for rule in grid.aggregator))
