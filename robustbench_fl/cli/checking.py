"""``check``: whether methods keep the contract, built in or from a plug-in."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.api.registry import PACKAGES
from robustbench_fl.cli.options import plugin_option
from robustbench_fl.cli.output import format_option, print_rows
from robustbench_fl.cli.saying import say
from robustbench_fl.core.counted import counted
from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.conformance import Case, Result


_PRE = ("aggregators", "pre-aggregators")
"""A family that has no kind of its own, with the kind to which it belongs."""
_SECONDS_BETWEEN_LINES = 5.0
"""How often progress is told where no bar can be shown."""


@click.command("check")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--kind", type=click.Choice(list(PACKAGES)), help="Only methods of this kind.")
@plugin_option
@click.option("--list", "list_only", is_flag=True, help="List the checks without running them.")
@click.option("-v", "--verbose", is_flag=True, help="Print a line for checks that pass, too.")
@format_option
@click.pass_context
def check(
    context: click.Context,
    names: tuple[str, ...],
    kind: str | None,
    plugins: tuple[Path, ...],
    list_only: bool,
    verbose: bool,
    format_: str,
) -> None:
    """Check that methods keep their contract and do what they declare; all of them by default.

    A NAME may have parameters, which then stay as they are: "trimmed_mean(trim=0.1)".

    \b
    robustbench-fl check --plugin my_rule.py my_rule
    robustbench-fl check --kind attacks

    The exit code is 1 if a check fails. A failure that the method declares, with its reason, does not
    count; if a check passes that was declared to fail, this counts as a failure.
    """
    from threadpoolctl import threadpool_limits

    from robustbench_fl.api import registry
    from robustbench_fl.conformance import Outcome, cases
    from robustbench_fl.conformance.replay import other_process

    if list_only:
        if names:
            raise UsageError(
                f"--list names the checks of all methods of a kind. Leave out {names[0]!r}, or give --kind."
            )
        print_rows(list(_catalogue(kind)), format_)
        return
    for path in plugins:
        registry.load_plugin(path)
    asked = cases(kind, names or None)
    if any(case.check.name == "other_process" for case in asked):
        other_process()  # it imports what it needs while the first checks run
    with threadpool_limits(limits=1), redirect_stdout(sys.stderr):  # what methods print
        results = [(case, case.result()) for case in _with_progress(asked)]
    condensed = format_ in ("table", "md") and not verbose
    print_rows(_condensed(results) if condensed else [_row(*pair) for pair in results], format_)
    failed = sum(result.outcome is Outcome.FAIL for _, result in results)
    methods = len({(case.kind, case.subject) for case, _ in results})
    say(f"{counted(len(results), 'check')} of {counted(methods, 'method')}, {failed} failed.", err=True)
    if failed:
        say(
            "What a check asks: robustbench-fl check --list. What a method breaks on purpose its class "
            'declares: expected_failures = {"CHECK": "why"}',
            err=True,
        )
    context.exit(1 if failed else 0)


def _with_progress(cases: Sequence[Case]) -> Iterator[Case]:
    """Yield the cases; show a bar on a terminal, and elsewhere now and then a line, how far it is."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        with tqdm(cases, unit="check", dynamic_ncols=True, leave=False) as bar:
            for case in bar:
                bar.set_postfix_str(case.subject, refresh=False)
                yield case
        return
    printed = time.monotonic()
    for number, case in enumerate(cases):
        if time.monotonic() - printed >= _SECONDS_BETWEEN_LINES:
            printed = time.monotonic()
            say(f"{number}/{counted(len(cases), 'check')}, now {case}", err=True)
        yield case


def _row(case: Case, result: Result) -> dict[str, Any]:
    return {
        "kind": case.kind,
        "method": case.subject,
        "check": case.check.name,
        "outcome": result.outcome.value,
        "why": result.why,
    }


def _condensed(results: Sequence[tuple[Case, Result]]) -> list[dict[str, Any]]:
    """Return one row for what a method passes, and one for each check that it does not."""
    from robustbench_fl.conformance import Outcome

    passed: dict[tuple[str, str], dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    for case, result in results:
        key = case.kind, case.subject
        if key not in passed:
            passed[key] = _row(case, result) | {"check": 0, "outcome": Outcome.PASS.value, "why": ""}
            rows.append(passed[key])
        if result.outcome is Outcome.PASS:
            passed[key]["check"] += 1
        else:
            rows.append(_row(case, result))
    for row in passed.values():
        row["check"] = f"{row['check']} checks"
    return rows


def _catalogue(kind: str | None) -> Iterator[dict[str, Any]]:
    from robustbench_fl.conformance import checks
    from robustbench_fl.conformance.checks import FAMILIES, Family

    families: list[Family] = [f for f in FAMILIES if kind in (None, f) or (kind, f) == _PRE]
    for family in families:
        for item in checks(family):
            yield {"of": family, "check": item.name, "asks": item.sentence}
