"""``data``: which data sets there are, whether their files are there, and whether they are whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_fl.cli.options import complete_method, data_dir_option
from robustbench_fl.cli.output import format_option, print_rows
from robustbench_fl.core.errors import MissingDataError, UsageError

if TYPE_CHECKING:
    from robustbench_fl.api import Arrays, Dataset
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

    click.echo(cache_dir() if cache else (data_dir or default_data_dir()))


@data.command()
@_NAME
@data_dir_option
@format_option
def verify(name: str, data_dir: Path | None, format_: str) -> None:
    """Read a whole data set and check it: sizes and digests of files, shapes, counts, labels.

    An error names the file that is wrong. The copy that worker processes share is checked too.
    """
    from robustbench_fl.api.build import make, text_of
    from robustbench_fl.data.locations import default_data_dir

    place = data_dir or default_data_dir()
    dataset: Dataset = make("datasets", name).pinned(place)
    arrays = dataset.load(place)
    print_rows(list(_findings(dataset, arrays)), format_)
    click.echo(f"{text_of(dataset)}: {_compared(dataset, arrays, place)}", err=True)


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
    click.echo(f"{name} is whole, in {place}." if _has_files(dataset) else f"{name} needs no files.")


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


def _has_files(dataset: Dataset) -> bool:
    from robustbench_fl.api import Dataset

    return type(dataset).prepare is not Dataset.prepare


def _findings(dataset: Dataset, arrays: Arrays) -> Iterator[dict[str, Any]]:
    """Yield a row for each split.

    Raises
    ------
    UsageError
        If it is not what is published.
    """
    import numpy as np

    splits = (
        ("train", arrays.train_images, arrays.train_labels),
        ("test", arrays.test_images, arrays.test_labels),
    )
    parts = [getattr(dataset, name, None) for name, _, _ in splits]
    whole = dataset.sizes if parts == [None, None] else None
    for place, (split, images, labels) in enumerate(splits):
        if whole is not None and len(labels) != whole[place]:
            raise UsageError(f"{split} has {len(labels)} images, published are {whole[place]}.")
        counts = np.bincount(labels, minlength=arrays.n_classes)
        values = images.astype(np.float32) / arrays.full_scale
        yield {
            "split": split,
            "images": len(labels),
            "shape": "×".join(map(str, images.shape[1:])),
            "classes": arrays.n_classes,
            "fewest": int(counts.min()),
            "most": int(counts.max()),
            "mean": [round(float(m), 4) for m in values.mean((0, 2, 3), dtype=np.float64)],
            "normalised by": [round(m, 4) for m in arrays.mean],
            "std": [round(float(s), 4) for s in values.std((0, 2, 3), dtype=np.float64)],
            "and by": [round(s, 4) for s in arrays.std],
        }


def _compared(dataset: Dataset, arrays: Arrays, place: Path) -> str:
    """Return what became of the comparison with the shared copy.

    Raises
    ------
    UsageError
        If the copy differs.
    """
    from robustbench_fl.data.shared import copy_of, differences

    copy = copy_of(dataset, place)
    if copy is None:
        return "whole; worker processes share no copy yet."
    if wrong := differences(copy.arrays, arrays):
        raise UsageError(
            f"The copy that worker processes share differs in {', '.join(wrong)}: delete {copy.folder}."
        )
    return "whole, and so is the copy that worker processes share."
