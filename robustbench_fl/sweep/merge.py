"""Several folders of one sweep, such as shards from several machines, as one."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_fl.core.agreement import differences
from robustbench_fl.core.counted import counted
from robustbench_fl.core.errors import RobustbenchError, UsageError
from robustbench_fl.core.files import WriteError
from robustbench_fl.core.record import FINAL
from robustbench_fl.store import Store, StoreError
from robustbench_fl.store.codec import PACKED, seal
from robustbench_fl.store.lines import write_lines
from robustbench_fl.store.versions import without_versions
from robustbench_fl.sweep.config import GROWABLE, Sweep, make_sweep, settings_apart, to_toml, united
from robustbench_fl.sweep.rows import united_row

_SHOWN = 20


class MergeConflict(RobustbenchError):
    """Two folders hold different results for the same cell."""


@dataclass(frozen=True)
class Merged:
    """What came of a merge: planned cells, those with a record, and stored ones that no plan has."""

    planned: int
    stored: int
    left_out: int


def merge(
    folders: Sequence[Path],
    out: Path,
    finish: Callable[[Store], object] = lambda store: None,
    existing: Callable[[Path], Store] = Store.existing,
) -> Merged:
    """Write the union of `folders` into the new folder `out`, which appears whole or not at all.

    Of a cell that several hold, a final record is taken before one that is not, then the first.

    Parameters
    ----------
    folders : sequence of Path
        Sweeps' folders; nothing in them is changed.
    out : Path
        Must not exist, or be empty.
    finish : callable
        Called with the store before it gets its name, to write what is derived.
    existing : callable
        Opens a folder.

    Raises
    ------
    UsageError
        If the sweeps cannot be one, with the settings that differ, or `out` is taken.
    MergeConflict
        If a cell has different results.
    WriteError
        If `out` cannot be written.
    """
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{str(out)!r} exists. Give -o a new folder; nothing is overwritten.")
    stores = [existing(folder) for folder in folders]
    sweep = _united(stores)
    rows = _plan(stores)
    winners = _winners(stores, rows)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".tmp"))
    except OSError as error:
        raise WriteError.of(out, error) from None
    try:
        made = Store(place)
        made.write_plan(to_toml(sweep), rows.values())
        stored = write_lines(place / PACKED, _lines(stores, winners), "pack")
        finish(made)
        made.close()
        place.chmod(0o755)
        os.replace(place, out)
    except OSError as error:
        raise WriteError.of(out, error) from None
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(place)
    known = {key for store in stores for key in store.statuses()}
    return Merged(len(rows), stored, len(known - set(rows)))


def _united(stores: Sequence[Store]) -> Sweep:
    """Return the union of the folders' sweeps."""
    whole: Sweep | None = None
    for store in stores:
        table = store.read_sweep()
        if table is None:
            raise StoreError(f"{str(store.folder)!r} holds no sweep.toml. Restore it.")
        sweep = make_sweep(table, {}, str(store.folder / "sweep.toml"))
        if whole is None:
            whole = sweep
            continue
        names = f"in {stores[0].folder}", f"in {store.folder}"
        if apart := settings_apart(whole, sweep, *names):
            raise UsageError(
                "These folders hold sweeps with different settings:\n" + "\n".join(apart) + "\n"
                f"Only {', '.join(GROWABLE)} may differ."
            )
        whole = united(whole, sweep)
    assert whole is not None
    return whole


def _plan(stores: Sequence[Store]) -> dict[str, dict[str, Any]]:
    """Return the union of the folders' plans by key."""
    rows: dict[str, dict[str, Any]] = {}
    versions: dict[str, tuple[str, Path]] = {}
    for store in stores:
        for row in store.planned():
            rows[row["key"]] = united_row(rows.get(row["key"], row), row)
            key, folder = versions.setdefault(without_versions(row), (row["key"], store.folder))
            if key != row["key"]:
                other = rows[key]
                raise UsageError(
                    f"{str(folder)!r} and {str(store.folder)!r} were planned by different versions of "
                    f"robustbench-fl: {_versions_apart(other['cell'], row['cell'])}. Run one of them again."
                )
    return rows


def _winners(stores: Sequence[Store], rows: Mapping[str, Any]) -> dict[str, int]:
    """Return for every planned cell that is stored the number of the folder to take it from."""
    holders: dict[str, list[int]] = {}
    final: dict[str, int] = {}
    for number, store in enumerate(stores):
        for key, status in store.statuses().items():
            if key in rows:
                holders.setdefault(key, []).append(number)
                if status in FINAL:
                    final.setdefault(key, number)
    shared = {key for key, numbers in holders.items() if len(numbers) > 1 and key in final}
    _refuse_conflicts(stores, shared)
    return {key: final.get(key, numbers[0]) for key, numbers in holders.items()}


def _refuse_conflicts(stores: Sequence[Store], shared: set[str]) -> None:
    if not shared:
        return
    first: dict[str, tuple[dict[str, Any], Path]] = {}
    lines = []
    for store in stores:
        for record in store.stored():
            key = record["key"]
            if key not in shared or record["status"] not in FINAL:
                continue
            other, folder = first.setdefault(key, (record, store.folder))
            if apart := differences(other, record):
                worst, labels = apart[0], record["labels"]
                more = f" and {len(apart) - 1} more" if len(apart) > 1 else ""
                lines.append(
                    f"  {key}  {labels['aggregator']} under {labels['attack']}: {worst.what} is "
                    f"{worst.first!r} in {folder}, {worst.second!r} in {store.folder}{more}"
                )
    if lines:
        dots = "\n  …" if len(lines) > _SHOWN else ""
        raise MergeConflict(
            f"{counted(len(lines), 'cell')} with different results:\n"
            + "\n".join(lines[:_SHOWN])
            + dots
            + "\n"
            "Nothing was written. robustbench-fl verify DIR runs stored cells again and shows which is right."
        )


def _lines(stores: Sequence[Store], winners: Mapping[str, int]) -> Iterator[bytes]:
    for number, store in enumerate(stores):
        for record in store.stored():
            if winners.get(record["key"]) == number:
                yield seal(record)


def _versions_apart(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    apart = [
        f"{name} {_version(first.get(name))} and {_version(second.get(name))}"
        for name in first
        if first.get(name) != second.get(name)
    ]
    return ", ".join(apart)


def _version(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value.get('name')} version {value.get('version')}"
    return " > ".join(map(_version, value)) if isinstance(value, list) else str(value)
