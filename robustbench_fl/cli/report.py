"""``report``: one page that holds a whole sweep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_fl.cli.options import folder_argument, missing_option
from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.analysis.coverage import Missing


@click.command()
@folder_argument
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The file to write.  [default: DIR/report.html]",
)
@missing_option
def report(folder: Path, out: Path | None, missing: Missing) -> None:
    """Write one self-contained page: leaderboard, matrix, and every cell with its curves.

    Its tables sort and filter. It needs no network and no server: open it in a browser, attach it to a
    message, or put it on any web site.
    """
    from robustbench_fl.cli.results import command_of
    from robustbench_fl.cli.tabling import records_of
    from robustbench_fl.report.page.write import NAME, write_page
    from robustbench_fl.sweep.replan import existing

    store = existing(folder)
    path = out or folder / NAME
    if path.is_dir():
        raise UsageError(f"--out must name a file, but {str(path)!r} is a folder. Try {str(path / NAME)!r}.")
    sweep = store.read_sweep() or {}
    size = write_page(
        records_of(folder), path, str(sweep.get("name") or folder.resolve().name), command_of, missing
    )
    click.echo(f"{path}  ({size / 1e6:.2g} MB; open it in a browser)")
