"""One copy of a data set for all processes of a machine.

The arrays are written once, as plain ``.npy`` files in a folder named by what they are made from, and
mapped into memory by every process: the pages are those of the system's file cache, there once
however many processes read them, whoever started these and how (spawned, Ray's, a job array's).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import warnings
from pathlib import Path

import numpy as np

from robustbench_fl.api import Arrays, Dataset, UsageError, build
from robustbench_fl.core.sealed import Damaged
from robustbench_fl.data.copies import ARRAYS, facts_of, opened, write
from robustbench_fl.data.locations import cache_dir

_FORMAT = 2
_given: dict[str, Arrays] = {}


def share(dataset: Dataset, data_dir: Path, *, download: bool = False) -> None:
    """Make sure that the files of `dataset` are there, and write the copy that processes share.

    Warns if that cannot be written; every process then reads the files by itself.

    Raises
    ------
    MissingDataError
        If files are missing.
    UsageError
        If files are damaged.
    """
    dataset.prepare(data_dir, download=download)
    try:
        folder = _folder(dataset, data_dir)
        if folder is not None and _whole(folder) is None:
            write(dataset.load(data_dir), folder)
    except OSError as error:
        warnings.warn(
            f"The copy of {build.text_of(dataset)} that worker processes share cannot be written to "
            f"{cache_dir()} ({error.strerror or error}); each will hold one of its own. "
            "Point $ROBUSTBENCH_FL_CACHE to a folder with room.",
            stacklevel=2,
        )


def shared(dataset: Dataset, data_dir: Path, *, download: bool = False) -> Arrays:
    """Return the arrays of `dataset`, mapped if :func:`share` could write them.

    What is mapped looks writable and is not: a write stays with the process that makes it. After
    :func:`give` it is what was given, and no file is looked for.

    Parameters
    ----------
    dataset, data_dir, download
        As in :meth:`Dataset.load`, whose errors are also raised.
    """
    if (given := _given.get(build.text_of(dataset))) is not None:
        return given
    dataset.prepare(data_dir, download=download)
    folder = _folder(dataset, data_dir)
    if folder is None:
        return dataset.load(data_dir)
    with contextlib.suppress(OSError):
        if (found := _whole(folder)) is not None:
            return found
    arrays = dataset.load(data_dir)
    with contextlib.suppress(OSError):
        write(arrays, folder)
        return _whole(folder) or arrays
    return arrays


def _whole(folder: Path) -> Arrays | None:
    """Return the arrays in `folder`, ``None`` where they are not there or, with a notice, damaged."""
    try:
        return opened(folder)
    except FileNotFoundError:
        return None
    except Damaged as why:
        warnings.warn(f"The shared copy {folder.name} of a data set {why}. It is made anew.", stacklevel=3)
        return None


def give(text: str, arrays: Arrays) -> None:
    """Let :func:`shared` return `arrays` in this process: for machines that have no data files.

    Parameters
    ----------
    text : str
        The data set's canonical text.
    arrays : Arrays
        What it was read as elsewhere; may be read-only. What was given first stays.
    """
    _given.setdefault(text, arrays)


@dataclasses.dataclass(frozen=True)
class Copy:
    """What :func:`share` has written.

    Parameters
    ----------
    folder : Path
        Where.
    arrays : Arrays
        What.
    """

    folder: Path
    arrays: Arrays


def copy_of(dataset: Dataset, data_dir: Path) -> Copy | None:
    """Return the copy that processes share, ``None`` if there is none.

    Raises
    ------
    UsageError
        If it is damaged.
    """
    if (folder := _folder(dataset, data_dir)) is None:
        return None
    try:
        return Copy(folder, opened(folder))
    except FileNotFoundError:
        return None
    except Damaged as why:
        raise UsageError(f"The shared copy {why}: delete {folder}.") from None


def differences(one: Arrays, other: Arrays) -> list[str]:
    """Return the names of what is not the same in two data sets, bit for bit."""
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in ARRAYS}
    pairs |= {name: (one.columns.get(name), other.columns[name]) for name in other.columns}
    wrong = [name for name, (a, b) in pairs.items() if a is None or not np.array_equal(a, b)]
    return wrong + [name for name in facts_of(one) if facts_of(one)[name] != facts_of(other)[name]]


def _folder(dataset: Dataset, data_dir: Path) -> Path | None:
    """Return where the arrays of `dataset` lie, ``None`` if it is not read from files."""
    fingerprint = dataset.fingerprint(data_dir)
    if fingerprint is None:
        return None
    content = json.dumps([_FORMAT, build.identity_of(dataset), fingerprint], sort_keys=True)
    return cache_dir() / "arrays" / hashlib.sha256(content.encode()).hexdigest()[:32]
