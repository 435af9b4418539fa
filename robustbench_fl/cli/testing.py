"""``differences`` and ``significance``: which rules really differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_fl.cli.options import folder_argument
from robustbench_fl.cli.output import format_option
from robustbench_fl.cli.tabling import cells_of, print_of, table_text

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
@click.option("--figure", is_flag=True, help="Also draw DIR/figures/critical-difference-SCORE.png.")
@format_option
def significance(folder: Path, score: Score, pairs: bool, figure: bool, format_: str) -> None:
    """Test whether the rules differ: Friedman, then Nemenyi or Wilcoxon with Holm.

    Needs scikit-posthocs: pip install 'robustbench-fl[stats]'.
    """

    def tested(cells: pd.DataFrame) -> Significance:
        from robustbench_fl.analysis.significance import significance as test

        return test(cells, score)

    if not figure:
        print_of(folder, lambda cells: tested(cells).pair_table if pairs else tested(cells), format_)
        return
    from robustbench_fl.core.files import write_atomically
    from robustbench_fl.report.critical import critical_difference

    found = tested(cells_of(folder))
    click.echo(table_text(found.pair_table if pairs else found, format_))
    path = folder / "figures" / f"critical-difference-{score}.png"
    write_atomically(path, critical_difference(found))
    click.echo(path, err=True)
