"""Folders of many finished cells that nobody ran: the committed quick start, again with other seeds."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robustbench_fl.core.cell import key_of
from robustbench_fl.core.record import SCHEMA
from robustbench_fl.store import Store
from robustbench_fl.store.codec import PACKED, seal
from robustbench_fl.store.lines import write_lines

QUICKSTART = Path(__file__).resolve().parent.parent / "results" / "quickstart"
FIRST_SEED = 1000


def fake_records(cells: int) -> Iterator[dict[str, Any]]:
    """Yield `cells` records, each with the key that belongs to its settings."""
    with gzip.open(QUICKSTART / PACKED, "rt") as file:
        real = [json.loads(line) for line in file]
    for number in range(cells):
        record = dict(real[number % len(real)])
        record.pop("checksum", None)
        record["schema_version"] = SCHEMA
        record["cell"] = {**record["cell"], "seed": FIRST_SEED + number // len(real)}
        yield {**record, "key": key_of(record["cell"])}


def fake_folder(folder: Path, cells: int, *, packed: bool = False) -> Store:
    """Write a sweep of `cells` finished cells and return its store.

    Parameters
    ----------
    folder : Path
        Made if need be.
    cells : int
        How many.
    packed : bool
        Whether they lie in one file.
    """
    store = Store(folder)
    names = ("key", "cell", "labels", "facts")
    sweep = Store(QUICKSTART).read_sweep() or {}
    seeds = sorted({record["cell"]["seed"] for record in fake_records(cells)})
    store.write_plan(
        {**sweep, "name": "fake", "seeds": seeds},
        ({name: record[name] for name in names} for record in fake_records(cells)),
    )
    if packed:
        write_lines(folder / PACKED, map(seal, fake_records(cells)), "pack")
        return store
    store.cells.mkdir(exist_ok=True)
    for record in fake_records(cells):
        (store.cells / f"{record['key']}.json").write_bytes(seal(record))
    return store
