"""``compare`` and ``badge``: two folders against each other, one folder in a line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.cli.answers import of_folders
from robustbench_fl.cli.options import PATH, folder_argument, missing_option
from robustbench_fl.cli.output import format_option
from robustbench_fl.cli.saying import say
from robustbench_fl.cli.tabling import Shown, cells_of, table_text

if TYPE_CHECKING:
    from robustbench_fl.analysis.coverage import Missing


@click.command()
@click.argument("first", metavar="A", type=PATH)
@click.argument("second", metavar="B", type=PATH)
@click.option("--value", default="accuracy", show_default=True, help="Column that is compared.")
@click.option(
    "--tolerance",
    type=float,
    default=0.0,
    show_default=True,
    metavar="X",
    help="Differences up to X are ties, in the value's unit: 0.01 is one point of accuracy.",
)
@click.option("--force", is_flag=True, help="Compare even if the worlds differ.")
@click.option(
    "--fail-on-regression",
    is_flag=True,
    help="Exit with 1 if a rule is worse by more than X beyond doubt (with one seed: at all), or a cell of A "
    "failed in B.",
)
@format_option
def compare(
    first: Path,
    second: Path,
    value: str,
    tolerance: float,
    force: bool,
    fail_on_regression: bool,
    format_: str,
) -> None:
    """Compare folder B with folder A, cell by cell.

    Cells are paired if data set, partition, network, rule, attack, share of malicious clients, seed
    and all settings agree. Versions of the code may differ.
    """
    shown = Shown.now(format_)

    def made() -> list[Any]:
        from robustbench_fl.analysis.compare import compare as compared
        from robustbench_fl.sweep.replan import existing

        before, after = (existing(folder).records() for folder in (first, second))
        found = compared(before, after, value, tolerance, force)
        return [table_text(found, format_, shown), list(found.regressions)]

    text, regressions = of_folders((first, second), made, shown)
    say(text, styled=True)
    if fail_on_regression and regressions:
        for sentence in regressions:
            say(f"Regression: {sentence}", err=True)
        raise click.exceptions.Exit(1)


@click.command()
@folder_argument
@missing_option
def badge(folder: Path, missing: Missing) -> None:
    """Print a sweep as one line of JSON, for badges and dashboards."""

    def made() -> str:
        import json

        from robustbench_fl.analysis.badge import badge as summary
        from robustbench_fl.analysis.leaderboard import leaderboard

        cells = cells_of(folder)
        return json.dumps(summary(cells, leaderboard(cells, missing)), ensure_ascii=False, allow_nan=False)

    say(of_folders((folder,), made))
