"""Commands that print a table of a sweep. None of them imports torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from robustbench_fl.cli.answers import UNTRUSTED, of_folders
from robustbench_fl.cli.options import by_option, folder_argument, missing_option
from robustbench_fl.cli.output import format_option, is_wide, shows_colour, terminal_width
from robustbench_fl.cli.saying import say
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.foreign import command

if TYPE_CHECKING:
    import pandas as pd

    from robustbench_fl.analysis.coverage import Missing
    from robustbench_fl.analysis.table import Table
    from robustbench_fl.report.tables import Renderable


@click.command()
@folder_argument
@missing_option
@by_option("dataset, alpha, fraction or another setting, comma separated")
@click.option(
    "--track", type=click.Choice(["A", "B", "C", "D"]), help="One track alone, with its references."
)
@click.option(
    "--columns",
    default="",
    metavar="NAMES",
    help="Columns to show after the rule, as leaderboard.csv names them: rank,worst_accuracy.",
)
@format_option
def leaderboard(
    folder: Path, missing: Missing, by: str | None, track: str | None, columns: str, format_: str
) -> None:
    """Rank the aggregators of a sweep by their accuracy under the worst attack.

    One table a track, by what the server knows. A: nothing but the updates. B: f. C: the model, who
    the clients are, or the past. D: root data. Ranks need five seeds.
    """

    def made(cells: pd.DataFrame) -> Table:
        from robustbench_fl.analysis.leaderboard import leaderboard as ranked

        board = ranked(cells, missing)
        return board.of_track(track) if track else board

    names = tuple(filter(None, (name.strip() for name in columns.split(","))))
    _print_by(folder, by, made, format_, columns=names)


def leaderboard_text(records: list[dict[str, Any]], *, bold: bool) -> str:
    """Return the leaderboard of `records` for a terminal, its best entries bold where that shows."""
    from robustbench_fl.analysis.frame import frame
    from robustbench_fl.analysis.leaderboard import leaderboard as ranked
    from robustbench_fl.report.tables import render

    return render(ranked(frame(records)), "table", bold=bold, width=terminal_width())


@click.command()
@folder_argument
@click.option("--rows", default="aggregator", show_default=True, help="Column(s) of cells.csv down the side.")
@click.option("--cols", default="attack", show_default=True, help="Column(s) along the top, comma separated.")
@click.option("--value", default="accuracy", show_default=True, help="Column that is averaged.")
@format_option
def matrix(folder: Path, rows: str, cols: str, value: str, format_: str) -> None:
    """Print a result matrix of a sweep: any column against any other."""

    def made(cells: pd.DataFrame) -> Renderable:
        from robustbench_fl.analysis.matrix import matrix as pivot

        return pivot(cells, rows, cols, value)

    print_of(folder, made, format_)


@click.command()
@folder_argument
@by_option("dataset, alpha, fraction or another setting, comma separated")
@format_option
def attacks(folder: Path, by: str | None, format_: str) -> None:
    """Rank the attacks of a sweep by the accuracy that rules lose to them."""

    def made(cells: pd.DataFrame) -> Table:
        from robustbench_fl.analysis.attacks import attack_table

        return attack_table(cells)

    _print_by(folder, by, made, format_)


@click.command()
@folder_argument
@by_option("dataset, alpha, fraction or another setting, comma separated")
@format_option
def costs(folder: Path, by: str | None, format_: str) -> None:
    """Show what the rules of a sweep cost: server time a round and memory, without and under attack."""

    def made(cells: pd.DataFrame) -> Table:
        from robustbench_fl.analysis.costs import cost_table

        return cost_table(cells)

    _print_by(folder, by, made, format_)


@click.command()
@folder_argument
@by_option("dataset, alpha, fraction, attack or another setting, comma separated")
@format_option
def detection(folder: Path, by: str | None, format_: str) -> None:
    """Show which clients the detectors of a sweep accused: TPR, FPR, DACC, AUC, honest clients lost."""

    def made(cells: pd.DataFrame) -> Table:
        from robustbench_fl.analysis.detection import detection_table

        return detection_table(cells)

    _print_by(folder, by, made, format_, also_attack=True)


def cells_of(folder: Path) -> pd.DataFrame:
    """Return the frame of a sweep's folder.

    Raises
    ------
    UsageError
        If no cell of it has a result.
    """
    from robustbench_fl.analysis.frame import frame

    return frame(records_of(folder))


def records_of(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a sweep's folder; errors as :func:`cells_of`."""
    from robustbench_fl.core.status import FINAL
    from robustbench_fl.sweep.replan import existing

    store = existing(folder)
    records = store.records()
    context = click.get_current_context(silent=True)
    if context is not None and store.problems(look=False):
        context.meta[UNTRUSTED] = True
    if not any(record["status"] in FINAL for record in records):
        raise UsageError(
            f"No cell of {str(folder)!r} has a result yet: {len(records)} are planned. "
            f"See {command('robustbench-fl', 'status', folder)}, and run the sweep."
        )
    return records


def print_of(
    folder: Path,
    make: Callable[[pd.DataFrame], Renderable],
    format_: str,
    columns: tuple[str, ...] = (),
) -> None:
    """Print the table that `make` makes of a folder's cells; nothing is imported to say it again."""
    shown = Shown.now(format_)

    def made() -> str:
        return table_text(make(cells_of(folder)), format_, shown, columns)

    say(of_folders((folder,), made, shown), styled=True)


class Shown(NamedTuple):
    """What of a terminal decides how a table is shown there."""

    wide: bool
    bold: bool
    width: int | None

    @classmethod
    def now(cls, format_: str) -> Shown:
        """Return what holds for this command."""
        return cls(is_wide(), format_ == "table" and shows_colour(), terminal_width())


def table_text(
    table: Renderable, format_: str, shown: Shown | None = None, columns: tuple[str, ...] = ()
) -> str:
    """Return `table` as text; on a terminal that shows colours the best entries are bold."""
    from robustbench_fl.report.tables import render

    look = shown or Shown.now(format_)
    return render(table, format_, wide=look.wide or None, bold=look.bold, width=look.width, columns=columns)


def _print_by(
    folder: Path,
    by: str | None,
    make: Callable[[pd.DataFrame], Table],
    format_: str,
    also_attack: bool = False,
    columns: tuple[str, ...] = (),
) -> None:
    def made(cells: pd.DataFrame) -> Renderable:
        from robustbench_fl.analysis.sections import ATTACK, sections

        return sections(cells, by, make, ATTACK if also_attack else ()) if by else make(cells)

    print_of(folder, made, format_, columns)
