"""``differences`` and ``significance``: which rules really differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_fl.cli.options import PATH, folder_argument
from robustbench_fl.cli.output import figure_format, format_option
from robustbench_fl.cli.saying import say
from robustbench_fl.cli.tabling import cells_of, print_of, table_text
from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from robustbench_fl.analysis.significance import Score, Significance
    from robustbench_fl.report.tables import Renderable


@click.command()
@folder_argument
@click.option("--against", default="mean", show_default=True, metavar="RULE", help="Rule to compare with.")
@format_option
def differences(folder: Path, against: str, format_: str) -> None:
    """Show what each rule gains over another, paired by the worlds in which both ran."""

    def made(cells: pd.DataFrame) -> Renderable:
        from robustbench_fl.analysis.pairs import pair_table

        return pair_table(cells, against)

    print_of(folder, made, format_)


@click.command()
@folder_argument
@click.option(
    "--score",
    type=click.Choice(["worst", "mean"]),
    default="worst",
    show_default=True,
    help="Score by which rules are ranked, in each setting.",
)
@click.option("--pairs", is_flag=True, help="Print all pairs, with Wilcoxon's test and Holm's correction.")
@click.option(
    "--figure", metavar="NAME", type=PATH,
    help="Also draw the critical-difference diagram to this file: NAME.png, NAME.svg or NAME.pdf.",
)  # fmt: skip
@click.option("--column-width", "columns", type=click.Choice(["one", "two"]),
              help="With --figure: as wide as one or two columns of a paper.")  # fmt: skip
@format_option
def significance(
    folder: Path, score: Score, pairs: bool, figure: Path | None, columns: str | None, format_: str
) -> None:
    """Test whether the rules differ: Friedman, then Nemenyi or Wilcoxon with Holm.

    Needs scikit-posthocs: pip install 'robustbench-fl[stats]'.
    """

    def tested(cells: pd.DataFrame) -> Significance:
        from robustbench_fl.analysis.significance import significance as test

        return test(cells, score)

    if figure is None:
        if columns:
            raise UsageError("--column-width is for --figure NAME.")
        print_of(folder, lambda cells: tested(cells).pair_table if pairs else tested(cells), format_)
        return
    kind = figure_format(figure)
    from robustbench_fl.core.files import write_atomically
    from robustbench_fl.report.canvas import WIDTHS, written_as
    from robustbench_fl.report.critical import critical_difference

    found = tested(cells_of(folder))
    say(table_text(found.pair_table if pairs else found, format_), styled=True)
    with written_as(kind, WIDTHS[columns] if columns else None):
        write_atomically(figure, critical_difference(found))
    say(figure, err=True)
