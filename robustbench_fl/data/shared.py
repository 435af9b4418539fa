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
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from robustbench_fl import build
from robustbench_fl.data.contracts import Arrays, Dataset
from robustbench_fl.data.place import cache_dir

_FORMAT = 1
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_FACTS = "facts.json"


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
        if folder is not None and _opened(folder) is None:
            _write(dataset.load(data_dir), folder)
    except OSError as error:
        warnings.warn(
            f"The copy of {build.text_of(dataset)} that worker processes share cannot be written to "
            f"{cache_dir()} ({error.strerror or error}); each will hold one of its own. "
            "Point $ROBUSTBENCH_FL_CACHE to a folder with room.",
            stacklevel=2,
        )


def shared(dataset: Dataset, data_dir: Path, *, download: bool = False) -> Arrays:
    """Return the arrays of `dataset`, mapped if :func:`share` could write them.

    What is mapped looks writable and is not: a write stays with the process that makes it.

    Parameters
    ----------
    dataset, data_dir, download
        As in :meth:`Dataset.load`, whose errors are also raised.
    """
    dataset.prepare(data_dir, download=download)
    folder = _folder(dataset, data_dir)
    if folder is None:
        return dataset.load(data_dir)
    with contextlib.suppress(OSError):
        if (found := _opened(folder)) is not None:
            return found
    arrays = dataset.load(data_dir)
    with contextlib.suppress(OSError):
        _write(arrays, folder)
        return _opened(folder) or arrays
    return arrays


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
    """Return the copy that processes share, ``None`` if there is none."""
    folder = _folder(dataset, data_dir)
    arrays = None if folder is None else _opened(folder)
    return None if folder is None or arrays is None else Copy(folder, arrays)


def differences(one: Arrays, other: Arrays) -> list[str]:
    """Return the names of what is not the same in two data sets, bit for bit."""
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in _ARRAYS}
    pairs |= {name: (one.columns.get(name), other.columns[name]) for name in other.columns}
    wrong = [name for name, (a, b) in pairs.items() if a is None or not np.array_equal(a, b)]
    return wrong + [name for name in _facts(one) if _facts(one)[name] != _facts(other)[name]]


def _folder(dataset: Dataset, data_dir: Path) -> Path | None:
    """Return where the arrays of `dataset` lie, ``None`` if it is not read from files."""
    fingerprint = dataset.fingerprint(data_dir)
    if fingerprint is None:
        return None
    content = json.dumps([_FORMAT, build.identity_of(dataset), fingerprint], sort_keys=True)
    return cache_dir() / "arrays" / hashlib.sha256(content.encode()).hexdigest()[:32]


def _opened(folder: Path) -> Arrays | None:
    """Return the arrays in `folder`, or ``None`` if they are not there or not whole."""
    try:
        facts = json.loads((folder / _FACTS).read_bytes())
        arrays = {name: _mapped(folder / f"{name}.npy") for name in _ARRAYS}
        columns = {str(name): _mapped(folder / f"column-{i}.npy") for i, name in enumerate(facts["columns"])}
        return Arrays(
            **arrays,
            n_classes=int(facts["n_classes"]),
            full_scale=float(facts["full_scale"]),
            mean=tuple(map(float, facts["mean"])),
            std=tuple(map(float, facts["std"])),
            columns=columns,
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, EOFError):  # cut short, or not ours: made anew
        return None


def _mapped(path: Path) -> Any:
    # Copy-on-write, not read-only: torch would crash on a write to the latter.
    return np.load(path, mmap_mode="c", allow_pickle=False)


def _write(arrays: Arrays, folder: Path) -> None:
    """Write `arrays` to `folder`, which appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
    try:
        for name in _ARRAYS:
            np.save(made / f"{name}.npy", getattr(arrays, name), allow_pickle=False)
        for i, values in enumerate(arrays.columns.values()):
            np.save(made / f"column-{i}.npy", values, allow_pickle=False)
        (made / _FACTS).write_text(json.dumps(_facts(arrays)))
        made.chmod(0o755)
        if folder.exists() and _opened(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process was first: its copy is the same
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _facts(arrays: Arrays) -> dict[str, Any]:
    """Return what is not in the arrays themselves."""
    plain = [field.name for field in dataclasses.fields(arrays) if field.name not in (*_ARRAYS, "columns")]
    return {**{name: getattr(arrays, name) for name in plain}, "columns": list(arrays.columns)}
