"""What is whole in a damaged folder is kept, and what is lost is said. Damaged files get another name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from robustbench_fl.core.files import read_regular
from robustbench_fl.store.aside import set_aside
from robustbench_fl.store.claims import refuse_running
from robustbench_fl.store.codec import PACKED, has_checksum, unseal
from robustbench_fl.store.errors import Damaged, NewerSchema, StoreError
from robustbench_fl.store.lines import read_lines, salvaged, write_lines
from robustbench_fl.store.plan_file import PLAN, SWEEP, sweep_in_plan, sweep_table, write_sweep


def recover_sweep(folder: Path) -> str:
    """Write ``sweep.toml`` again from the plan, if it is damaged or gone; return what was done, in words.

    Raises
    ------
    StoreError
        If the plan does not hold it.
    """
    path = folder / SWEEP
    try:
        sweep_table(read_regular(path)[0])
        return ""
    except FileNotFoundError:
        why = "is not there"
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
    except Damaged as error:
        why = str(error)
    if (table := sweep_in_plan(folder / PLAN)) is None:
        raise StoreError(
            f"{SWEEP} of {str(folder)!r} {why}, and {PLAN} does not hold it. Restore it, or run the sweep "
            "again into a new folder and put cells/ and cells.jsonl.gz there."
        )
    kept = f"; the damaged file is kept as {set_aside(path).name}" if os.path.lexists(path) else ""
    write_sweep(path, table)
    return f"{SWEEP} {why}. It was taken from {PLAN}{kept}."


def recover_pack(folder: Path) -> str:
    """Write the packed file anew with every record that is whole, if it is damaged; return what was done.

    Of two different records of one cell neither is kept.

    Raises
    ------
    StoreError
        If a sweep is running, or a record is of a later version.
    """
    path = folder / PACKED
    if not os.path.lexists(path):
        return ""
    try:
        lines = list(read_lines(path, "pack"))
        why = ""
    except Damaged as error:
        lines, why = [], str(error)
    kept, lost = _whole((line, True) for line in lines)
    if not why and not lost:
        return ""
    refuse_running(folder, "recover it")
    if why:
        with contextlib.suppress(Damaged):
            kept, lost = _whole(salvaged(path))
    aside = set_aside(path)
    if kept:
        write_lines(path, (kept[key] for key in sorted(kept)), "pack")
    pieces = f"; {lost} lines are not" if lost else ""
    return (
        f"{PACKED} {why or 'holds lines that cannot be trusted'}. {len(kept)} records are whole and kept"
        f"{pieces}. The damaged file is kept as {aside.name}."
    )


def held_in(path: Path) -> set[str]:
    """Return the keys of the records in a packed file that are whole, damaged as it may be."""
    return set(_whole(salvaged(path))[0])


def _whole(lines: Iterable[tuple[bytes, bool]]) -> tuple[dict[str, bytes], int]:
    """Return the lines of records that are whole by key, and the number of the others.

    A line without a checksum of its own counts where gzip's was right.
    """
    kept: dict[str, bytes] = {}
    twice: set[str] = set()
    lost = 0
    for line, checked in lines:
        if not line:
            continue
        try:
            if not has_checksum(line) and not checked:
                raise Damaged("has no checksum")
            key = unseal(line)["key"]
        except NewerSchema as error:
            raise StoreError(f"{PACKED}: {error}") from None
        except Damaged:
            lost += 1
            continue
        if kept.setdefault(key, line) != line:
            twice.add(key)
    for key in twice:
        del kept[key]
    return kept, lost + 2 * len(twice)
