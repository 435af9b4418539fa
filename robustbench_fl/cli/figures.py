"""``figures``: a sweep's figures as PNG, SVG or PDF, and the images FedREDefense learned for two clients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.cli.options import data_dir_option, folder_argument, plugin_option, typed
from robustbench_fl.cli.saying import say
from robustbench_fl.core.counted import counted
from robustbench_fl.core.errors import UsageError

if TYPE_CHECKING:
    from robustbench_fl.core.cell import Cell
    from robustbench_fl.report.canvas import Format
    from robustbench_fl.report.contact import Row
    from robustbench_fl.sweep.runner.learned_images import Learned


@click.command()
@folder_argument
@click.option(
    "--format",
    "format_",
    type=click.Choice(["png", "svg", "pdf"]),
    default="png",
    show_default=True,
    help="Format of the files.",
)
@click.option(
    "--title", metavar="TEXT", help="Put TEXT into titles in place of the data set; '' for nothing."
)
@click.option(
    "--column-width",
    "columns",
    type=click.Choice(["one", "two"]),
    help="Make figures as wide as one or two columns of a paper (3.4 or 7.0 inches).",
)
@click.option(
    "--synthetic",
    metavar="KEY",
    help="Instead, simulate this cell of fedredefense again and draw the images learned for two clients.",
)
@data_dir_option
@plugin_option
def figures(
    folder: Path,
    format_: Format,
    title: str | None,
    columns: str | None,
    synthetic: str | None,
    data_dir: Path | None,
    plugins: tuple[Path, ...],
) -> None:
    """Draw all figures of a sweep; as PDF or SVG for a paper, in which text stays text.

    Files go to DIR/figures. Each block of data set, partition and share of malicious clients has heatmap-*,
    curves-* and success-* (accuracy and attack success over rounds), lost-* for detectors, and errors-*,
    iterations-* and roc-* for fedredefense. The whole sweep has worst and profile (the share of settings
    in which a rule is within a given number of points of the best).

    --data-dir and --plugin are for --synthetic.
    """
    from robustbench_fl.sweep.replan import existing

    if synthetic is not None:
        from robustbench_fl.report.canvas import written_as

        if title is not None or columns:
            raise UsageError("--title and --column-width are for the figures of the sweep, not --synthetic.")
        with written_as(format_):
            _report([_draw_synthetic(folder, synthetic, data_dir, plugins, format_)])
        return
    if typed("data_dir"):
        raise UsageError("--data-dir is for --synthetic KEY: the other figures need no data.")
    if plugins:
        raise UsageError("--plugin is for --synthetic KEY: the other figures need no methods.")
    from robustbench_fl.report.canvas import WIDTHS
    from robustbench_fl.report.figures import write_figures

    width = WIDTHS[columns] if columns else None
    written = write_figures(existing(folder).records(), folder, format_, title, width)
    if not written:
        raise UsageError(f"{str(folder)!r} holds no finished cell; nothing to draw. Run the sweep first.")
    _report(written)


def _report(written: list[Path]) -> None:
    for path in written:
        say(path)


def _draw_synthetic(
    folder: Path, key: str, data_dir: Path | None, plugins: tuple[Path, ...], format_: Format
) -> Path:
    """Simulate one cell again, draw what was learned of two clients, and return the file."""
    from robustbench_fl.api import registry
    from robustbench_fl.api.build import make
    from robustbench_fl.cli.results import find_record
    from robustbench_fl.core.files import write_atomically
    from robustbench_fl.core.places import inside
    from robustbench_fl.data.locations import default_data_dir
    from robustbench_fl.report.canvas import COLOURS
    from robustbench_fl.report.contact import contact_sheet
    from robustbench_fl.report.write import FIGURES
    from robustbench_fl.sweep.runner.environment import Environment
    from robustbench_fl.sweep.runner.learned_images import learned_samples

    for path in plugins:
        registry.load_plugin(path)
    record = find_record(key, folder)
    cell = _cell_of(record)
    if (holds := make("datasets", cell.dataset).holds) != "images":
        raise UsageError(f"{cell.dataset} holds {holds}: what is learned there is no image to draw.")
    environment = Environment(data_dir=data_dir or default_data_dir())
    found = learned_samples(cell, environment)
    if not found:
        raise UsageError(f"No client of cell {record['key']} was reconstructed; there is nothing to draw.")
    labels = record["labels"]
    sheet = contact_sheet(
        f"Synthetic images of {labels['aggregator']} against {labels['attack']}",
        f"{labels['dataset']}, {labels['partition']}, seed {record['cell']['seed']}, cell {record['key']}; "
        "below each image the largest of its soft labels",
        [_row(learned, COLOURS[learned.malicious]) for learned in found],
    )
    target = inside(folder, f"{FIGURES}/synthetic-{record['key']}.{format_}")
    write_atomically(target, sheet)
    return target


def _cell_of(record: dict[str, Any]) -> Cell:
    """Return the planned cell of a stored record.

    Raises
    ------
    UsageError
        If it would not be the same cell any more.
    """
    from robustbench_fl.core.settings import Settings
    from robustbench_fl.sweep.expand import plan_cell

    stored = record["cell"]
    settings = Settings.of(stored)
    point = {name: stored[name] for name in ("malicious", "assumed_f", "seed")}
    cell = plan_cell(**record["labels"], **point, settings=settings).cell
    if cell.key != record["key"]:
        raise UsageError(
            f"Cell {record['key']} was made by another version of its methods: today its key is {cell.key}. "
            "Run the sweep again and take the key from its cells.csv."
        )
    return cell


def _row(learned: Learned, colour: str) -> Row:
    from robustbench_fl.report.contact import Row

    verdict = "rejected" if learned.rejected else "accepted"
    return Row(
        title=f"client {learned.client}, {'malicious' if learned.malicious else 'honest'}",
        note=f"{verdict} in round {learned.round} with error {learned.error:.2f} "
        f"after {counted(learned.iterations, 'iteration')}",
        images=learned.images,
        captions=[f"{label.argmax()}: {100 * label.max():.0f} %" for label in learned.labels],
        colour=colour,
    )
