"""The files of a data set's copy: plain ``.npy`` arrays and one JSON file. Without torch."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from robustbench_fl.api import Arrays
from robustbench_fl.core.sealed import Damaged, read_sealed, sealed

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
_FACTS = "facts.json"
_KIND = "arrays"


def opened(folder: Path) -> Arrays:
    """Return the arrays in `folder`, mapped, once their digest was compared with that of what was written.

    What is mapped looks writable and is not: a write stays with the process that makes it.

    Raises
    ------
    FileNotFoundError
        If they are not there.
    Damaged
        If they are not whole.
    """
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    try:
        facts = json.loads(read_sealed(folder / _FACTS, _KIND))
        arrays = {name: _mapped(folder / f"{name}.npy") for name in ARRAYS}
        columns = {str(name): _mapped(folder / f"column-{i}.npy") for i, name in enumerate(facts["columns"])}
        found = Arrays(
            **arrays,
            n_classes=int(facts["n_classes"]),
            full_scale=float(facts["full_scale"]),
            mean=tuple(map(float, facts["mean"])),
            std=tuple(map(float, facts["std"])),
            columns=columns,
        )
    except FileNotFoundError as error:
        raise Damaged(f"lacks {Path(error.filename).name}") from None
    except Damaged:
        raise
    except Exception as error:  # whatever a damaged header makes numpy say
        raise Damaged(f"cannot be read ({type(error).__name__})") from None
    if found.digest != facts["digest"]:
        raise Damaged("was changed after it was written: its digest does not fit")
    return found


def _mapped(path: Path) -> Any:
    # Copy-on-write, not read-only: torch would crash on a write to the latter.
    return np.load(path, mmap_mode="c", allow_pickle=False)


def write(arrays: Arrays, folder: Path) -> None:
    """Write `arrays` to `folder`, which appears whole or not at all; what is there must be worthless.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".making-"))
    try:
        for name in ARRAYS:
            np.save(made / f"{name}.npy", getattr(arrays, name), allow_pickle=False)
        for i, values in enumerate(arrays.columns.values()):
            np.save(made / f"column-{i}.npy", values, allow_pickle=False)
        facts = {**facts_of(arrays), "digest": arrays.digest}
        (made / _FACTS).write_bytes(sealed(_KIND, json.dumps(facts).encode()))
        made.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process was first: its copy is the same
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def facts_of(arrays: Arrays) -> dict[str, Any]:
    """Return what is not in the arrays themselves."""
    plain = [field.name for field in dataclasses.fields(arrays) if field.name not in (*ARRAYS, "columns")]
    return {**{name: getattr(arrays, name) for name in plain}, "columns": list(arrays.columns)}
