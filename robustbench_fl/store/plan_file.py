"""The two files that say what a folder is about: ``sweep.toml``, and the plan that is derived from it.

``sweep.toml`` is sealed; one without a seal is of an older version, or was edited on purpose. The plan
carries the text of the ``sweep.toml`` it was made from: with another it is not this folder's.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from robustbench_fl.core.files import read_regular, write_atomically
from robustbench_fl.core.intact import is_planned
from robustbench_fl.core.sealed import is_sealed, sealed, unsealed
from robustbench_fl.store.codec import has_checksum
from robustbench_fl.store.errors import Damaged
from robustbench_fl.store.lines import Note, note_of, read_lines, write_lines

PLAN = "plan.jsonl.gz"
SWEEP = "sweep.toml"
_KIND = "sweep"


def sweep_table(raw: bytes) -> dict[str, Any]:
    """Return the table in the content of a ``sweep.toml``.

    Raises
    ------
    Damaged
        If it cannot be trusted.
    """
    try:
        table = tomllib.loads(_text(raw))
    except (ValueError, RecursionError) as error:
        raise Damaged(f"is not valid TOML: {error}") from None
    if not table:
        raise Damaged("is empty")
    return table


def write_sweep(path: Path, table: dict[str, Any]) -> bool:
    """Write a ``sweep.toml``, sealed, unless it is there; return whether it was not."""
    import tomli_w

    content = sealed(_KIND, tomli_w.dumps(table).encode())
    with contextlib.suppress(OSError):
        if read_regular(path)[0] == content:
            return False
    write_atomically(path, content)
    return True


def write_rows(path: Path, lines: Iterable[bytes]) -> None:
    """Write a plan's sealed rows, for the ``sweep.toml`` that lies beside it."""
    write_lines(path, lines, "plan", _text(read_regular(path.with_name(SWEEP))[0]))


def read_rows(path: Path) -> list[bytes]:
    """Return the lines of a plan that is whole, and of the ``sweep.toml`` beside it.

    Raises
    ------
    FileNotFoundError
        If there is none.
    Damaged
        If it cannot be trusted.
    """
    note = Note()
    lines = list(read_lines(path, "plan", note))
    if note.kind and not all(map(has_checksum, lines)):
        raise Damaged("holds a line without its checksum")
    if note.text:
        try:
            beside = _text(read_regular(path.with_name(SWEEP))[0])
        except (OSError, Damaged):  # which is said elsewhere
            return lines
        if beside != note.text:
            raise Damaged(f"was made from another {SWEEP}")
    return lines


def row_of(line: bytes) -> dict[str, Any]:
    """Return the planned cell in a line of the plan.

    Raises
    ------
    Damaged
        If it is none.
    """
    try:
        row = from_json(line, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise Damaged(str(error)) from None
    if not is_planned(row):
        raise Damaged("is no plan")
    row.pop("checksum", None)
    found: dict[str, Any] = row
    return found


def sweep_in_plan(path: Path) -> dict[str, Any] | None:
    """Return the table of the ``sweep.toml`` that a plan was made from, if it says so."""
    try:
        return sweep_table(note_of(path).text.encode())
    except Damaged:
        return None


def _text(raw: bytes) -> str:
    """Return the text of a ``sweep.toml``, with or without a seal."""
    try:
        return (unsealed(_KIND, raw) if is_sealed(raw) else raw).decode()
    except UnicodeDecodeError as error:
        raise Damaged(f"is no text: {error}") from None
