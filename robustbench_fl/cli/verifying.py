"""What ``data verify`` finds: files against what is published, arrays against what is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustbench_fl.core.errors import MissingDataError, UsageError

if TYPE_CHECKING:
    from robustbench_fl.api import Arrays, Dataset
    from robustbench_fl.data.published import Known

VERIFIED, DIFFERS, UNKNOWN, WHOLE = "verified", "differs", "no published sum", "whole"


def verified(dataset: Dataset, place: Path) -> list[dict[str, Any]]:
    """Return what is found of a data set, a row for each file, each split and the shared copy.

    Parameters
    ----------
    dataset : Dataset
        Pinned.
    place : Path
        The data directory.

    Raises
    ------
    MissingDataError
        If files are missing.
    """
    from robustbench_fl.api.build import text_of

    name = text_of(dataset)

    def row(part: str, outcome: str, found: str) -> dict[str, Any]:
        return {"dataset": name, "part": part, "outcome": outcome, "found": found}

    rows = [row(*found) for found in _files(dataset, place)]
    if any(found["outcome"] == DIFFERS for found in rows):
        return rows
    try:
        arrays = dataset.load(place)
    except MissingDataError:
        raise
    except UsageError as error:
        return [*rows, row("all", DIFFERS, str(error).partition("\n")[0])]
    return rows + [row(*found) for found in (*_splits(dataset, arrays), _copy(dataset, arrays, place))]


def _files(dataset: Dataset, place: Path) -> Iterator[tuple[str, str, str]]:
    listed: Sequence[Known] = dataset.files() if hasattr(dataset, "files") else ()
    if absent := [file for file in listed if not (place / file.path).is_file()]:
        if len(absent) == len(listed):
            dataset.prepare(place)  # says where they come from
        for file in absent:
            yield file.path, DIFFERS, "it is not there"
        return
    for file in listed:
        if fault := file.fault(place, anew=True):
            yield file.path, DIFFERS, fault
        elif wanted := file.wanted(place):
            yield file.path, VERIFIED, "its {} is {}".format(*wanted)
        else:
            yield file.path, UNKNOWN, f"its size is {(place / file.path).stat().st_size}"
    if not listed:
        yield "files", UNKNOWN, "none is known of these files"


def _splits(dataset: Dataset, arrays: Arrays) -> Iterator[tuple[str, str, str]]:
    import numpy as np

    splits = {
        "train": (arrays.train_images, arrays.train_labels),
        "test": (arrays.test_images, arrays.test_labels),
    }
    whole = dataset.sizes if all(getattr(dataset, part, None) is None for part in splits) else None
    for number, (part, (images, labels)) in enumerate(splits.items()):
        if whole is not None and len(labels) != whole[number]:
            yield part, DIFFERS, f"{len(labels)} samples, published are {whole[number]}"
            continue
        counts = np.bincount(labels, minlength=arrays.n_classes)
        values = images.astype(np.float32) / arrays.full_scale
        axes = (0, *range(2, images.ndim))
        statistics = (
            f"mean {_some(values.mean(axes, dtype=np.float64))} (normalised by {_some(arrays.mean)}), "
        )
        statistics += f"std {_some(values.std(axes, dtype=np.float64))} ({_some(arrays.std)})"
        shape = "×".join(map(str, images.shape[1:]))
        spread = f"{arrays.n_classes} classes of {counts.min()} to {counts.max()}"
        yield part, WHOLE, f"{len(labels)} samples of {shape}, {spread}, {statistics}"


def _some(values: Any) -> str:
    shown = [f"{float(value):.4g}" for value in values[:4]]
    return ", ".join(shown) + " …" * (len(values) > len(shown))


def _copy(dataset: Dataset, arrays: Arrays, place: Path) -> tuple[str, str, str]:
    from robustbench_fl.data.shared import copy_of, differences

    try:
        copy = copy_of(dataset, place)
    except UsageError as error:
        return "shared copy", DIFFERS, str(error)
    if copy is None:
        return "shared copy", WHOLE, "worker processes share none yet"
    if wrong := differences(copy.arrays, arrays):
        return "shared copy", DIFFERS, f"{', '.join(wrong)}: delete {copy.folder}"
    return "shared copy", WHOLE, "the same bit for bit"
