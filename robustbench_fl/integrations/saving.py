"""A server's memory as one sealed file: a JSON text and arrays, nothing in it that is run."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustbench_fl.api import UsageError
from robustbench_fl.core.sealed import Damaged, read_sealed, write_sealed
from robustbench_fl.integrations.forms import Layout

_KIND = "server"
_FORMAT = 1
_FACTS = "facts"


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What a server is made of again, beside the network, root data and recipe that it was given.

    Parameters
    ----------
    rule : str
        As written.
    identity : list of dict
        Its name, version and parameters, and the code of a plug-in.
    f : int or None
    seed : int
    round : int
        Rounds finished.
    clients : list of int or str
        All that were ever seen, in the order of their numbers.
    n_clients, n_params : int or None
        Of the first round; ``None`` before it.
    layer_shapes : list
        Names and shapes of the parameter tensors.
    layout : dict or None
        Fields of the network's :class:`~robustbench_fl.integrations.forms.Layout`, where it is known.
    buffers : list of str
        Tensors that the server was told are not learned.
    """

    rule: str
    identity: list[dict[str, Any]]
    f: int | None
    seed: int
    round: int
    clients: list[int | str]
    n_clients: int | None
    n_params: int | None
    layer_shapes: list[tuple[str, list[int]]]
    layout: dict[str, Any] | None
    buffers: list[str]


def save_to(path: Path, facts: Saved, tensors: Mapping[str, Tensor]) -> None:
    """Write `facts` and `tensors`, whole or not at all.

    Raises
    ------
    WriteError
        If the folder cannot be written.
    """
    text = json.dumps({"format": _FORMAT, **asdict(facts)})
    arrays = {_FACTS: np.frombuffer(text.encode(), dtype=np.uint8)}
    for name, tensor in tensors.items():
        here = tensor.detach().cpu()
        arrays[f"t/{name}"] = (here.float() if here.dtype == torch.bfloat16 else here).numpy()
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    write_sealed(path, _KIND, content.getvalue())


def load_saved(path: Path) -> tuple[Saved, dict[str, Tensor]]:
    """Return what :func:`save_to` wrote.

    Raises
    ------
    UsageError
        If there is no such file, or it is not whole, or not of this kind.
    """
    try:
        content = read_sealed(path, _KIND)
    except FileNotFoundError:
        raise UsageError(f"There is no saved server {str(path)!r}.") from None
    except Damaged as error:
        raise UsageError(f"The file {str(path)!r} {error}. Load an older copy, or begin anew.") from None
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            text = json.loads(arrays[_FACTS].tobytes().decode())
            tensors = {n[2:]: torch.from_numpy(arrays[n].copy()) for n in arrays.files if n.startswith("t/")}
        # Files of older versions: all tensors that are not learned.
        text.setdefault("buffers", (text.get("layout") or {}).get("buffers", []))
        if text.pop("format", None) != _FORMAT or set(text) != {field.name for field in fields(Saved)}:
            raise ValueError("it was saved by another version")
        return Saved(**text), tensors
    except (
        OSError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UsageError(f"The file {str(path)!r} cannot be used: {error}. Begin anew.") from None


def layout_as_data(layout: Layout) -> dict[str, Any]:
    """Return the fields of `layout` as plain data."""
    return {**vars(layout), "dtypes": {n: str(t).removeprefix("torch.") for n, t in layout.dtypes.items()}}


def network_of(facts: Saved, tensors: Mapping[str, Tensor]) -> tuple[Layout | None, Any]:
    """Return the saved network's layout, and the network in that form; ``None`` of what was not known."""
    if facts.layout is None:
        return None, None
    layout = layout_from_data(facts.layout)
    known = "params" in tensors
    return layout, layout.written(tensors["params"], part(tensors, "buffers/")) if known else None


def layout_from_data(data: Mapping[str, Any]) -> Layout:
    """Return the layout that :func:`layout_as_data` gave.

    Raises
    ------
    UsageError
        If `data` are not its fields.
    """
    try:
        return Layout(
            form=data["form"],
            numpy=data["numpy"],
            shapes={name: tuple(shape) for name, shape in data["shapes"].items()},
            dtypes={name: _dtype(text) for name, text in data["dtypes"].items()},
            parameters=tuple(data["parameters"]),
            buffers=tuple(data["buffers"]),
            aliases=data["aliases"],
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise UsageError(f"The saved network cannot be read ({error}). Begin anew.") from None


def _dtype(text: str) -> torch.dtype:
    found = getattr(torch, text, None)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"{text!r} is no type of numbers")
    return found


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
