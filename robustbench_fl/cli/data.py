"""``data``: which data sets there are, whether their files are there, and whether they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.cli.options import complete_method, data_dir_option
from robustbench_fl.cli.output import format_option, print_rows
from robustbench_fl.cli.saying import say
from robustbench_fl.cli.verifying import DIFFERS, verified
from robustbench_fl.core.errors import MissingDataError, UsageError

if TYPE_CHECKING:
    from robustbench_fl.api import Dataset
    from robustbench_fl.api.registry import Entry


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    parameter.name = "dataset"
    return complete_method(context, parameter, incomplete)


_NAME = click.argument("name", metavar="NAME", shell_complete=_complete)


@click.group()
def data() -> None:
    """List, fetch and check data sets.

    NAME is a data set as in a sweep: cifar10, or 'npz(path=mine.npz)'.
    """


@data.command("list")
@data_dir_option
@format_option
def list_(data_dir: Path | None, format_: str) -> None:
    """List data sets: their sizes, their source, and whether their files are in the data directory."""
    from robustbench_fl.api import registry
    from robustbench_fl.data.locations import default_data_dir

    place = data_dir or default_data_dir()
    print_rows([_row(entry, place) for entry in registry.load_all("datasets")], format_)


@data.command()
@click.option("--cache", is_flag=True, help="Print where the copies that worker processes share are kept.")
@data_dir_option
def path(cache: bool, data_dir: Path | None) -> None:
    """Print the data directory: --data-dir, else $ROBUSTBENCH_FL_DATA, else the user's."""
    from robustbench_fl.data.locations import cache_dir, default_data_dir

    say(cache_dir() if cache else (data_dir or default_data_dir()))


@data.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_complete)
@data_dir_option
@format_option
@click.pass_context
def verify(context: click.Context, names: tuple[str, ...], data_dir: Path | None, format_: str) -> None:
    """Read whole data sets anew and compare them with what is published of them.

    Without a NAME all data sets whose files are in the data directory are read. Each file is verified,
    differs, or has no published sum. Shapes, counts and labels are checked too, and the copy that worker
    processes share. Exit code 1: something differs.
    """
    from robustbench_fl.api.build import make
    from robustbench_fl.data.locations import default_data_dir

    place = data_dir or default_data_dir()
    rows = []
    for name in names or _present(place):
        rows += verified(make("datasets", name).pinned(place), place)
    print_rows(rows, format_)
    if any(row["outcome"] == DIFFERS for row in rows):
        context.exit(1)


@data.command()
@_NAME
@data_dir_option
def fetch(name: str, data_dir: Path | None) -> None:
    """Download the files of a data set from their publisher if they are missing, and check them."""
    from robustbench_fl.api.build import make
    from robustbench_fl.data.locations import default_data_dir

    place = data_dir or default_data_dir()
    dataset: Dataset = make("datasets", name)
    dataset.prepare(place, download=True)
    dataset.load(place)
    say(f"{name} is whole, in {place}." if _has_files(dataset) else f"{name} needs no files.")


def _row(entry: Entry, place: Path) -> dict[str, Any]:
    from robustbench_fl.api.params import parameters

    own = any(p.required for p in parameters(entry.cls))
    dataset: Any = entry.cls if own else entry.cls()
    shape, sizes = (None, None) if own else (dataset.image_shape, dataset.sizes)
    return {
        "name": entry.name,
        "shape": "×".join(map(str, shape)) if shape else None,
        "classes": None if own else dataset.n_classes,
        "train": sizes[0] if sizes else None,
        "test": sizes[1] if sizes else None,
        "present": "give a path" if own else _presence(dataset, place),
        "source": dataset.source,
    }


def _presence(dataset: Dataset, place: Path) -> str:
    if not _has_files(dataset):
        return "needs no files"
    try:
        dataset.prepare(place)
    except MissingDataError:
        return "no"
    except UsageError:
        return "damaged"
    return "yes"


def _present(place: Path) -> list[str]:
    from robustbench_fl.api import registry
    from robustbench_fl.api.params import parameters

    known = [
        entry for entry in registry.load_all("datasets") if not any(p.required for p in parameters(entry.cls))
    ]
    return [entry.name for entry in known if _presence(entry.cls(), place) not in ("no", "needs no files")]


def _has_files(dataset: Dataset) -> bool:
    from robustbench_fl.api import Dataset

    return type(dataset).prepare is not Dataset.prepare
