"""One record as the bytes that are stored: a line of JSON that begins with its own checksum.

The checksum covers every byte after it, so a file that was cut short, or edited by hand, is
known as such before anything in it is believed. It tells damage, not forgery.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from robustbench_fl.core.cell import key_of
from robustbench_fl.core.intact import is_record
from robustbench_fl.store.errors import Damaged
from robustbench_fl.store.migrations import UNSEALED, migrated

_START = b'{"checksum":"'
_DIGITS = 32
_BODY = len(_START) + _DIGITS


def seal(record: Mapping[str, Any]) -> bytes:
    """Return the stored form of `record`, without a line end."""
    body = b'",' + canonical_line(record)[1:]
    return _START + _checksum(body) + body


def renewed(raw: bytes, record: Mapping[str, Any]) -> bytes:
    """Return the stored form of `record`, which `raw` holds: those very bytes if they are of this schema."""
    present = raw.startswith(_START) and from_json(raw)["schema_version"] == record["schema_version"]
    return raw if present else seal(record)


def canonical_line(row: Mapping[str, Any]) -> bytes:
    """Return `row` as one line of JSON, the same for the same content.

    Raises
    ------
    ValueError
        If it holds a number that is not finite.
    """
    return json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def unseal(raw: bytes, key: str | None = None, *, known: bool = False) -> dict[str, Any]:
    """Return the record that `raw` holds, in the present schema.

    Parameters
    ----------
    raw : bytes
        A file's content, or a line of the packed file.
    key : str, optional
        The cell it must be of.
    known : bool
        Whether it was found whole before: only the checksum is compared then.

    Raises
    ------
    Damaged
        If any of it cannot be trusted, with the reason.
    NewerSchema
        If it is whole, but of a later schema.
    """
    sealed = raw.startswith(_START)
    if sealed and raw[len(_START) : _BODY] != _checksum(raw[_BODY:]):
        raise Damaged("was cut short or changed after it was written: its checksum does not fit")
    try:
        record = from_json(raw, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        raise Damaged("is no whole JSON") from None
    version = record.get("schema_version") if isinstance(record, dict) else None
    if type(version) is not int or version < 1:
        raise Damaged("is no cell record")
    if not sealed and ("checksum" in record or version not in UNSEALED):
        migrated(record)  # a later schema is said first
        raise Damaged("was rewritten: it does not begin with its checksum")
    record.pop("checksum", None)
    record = migrated(record)
    if not known:
        _check(record)
    if key is not None and record["key"] != key:
        raise Damaged(f"holds another cell, {record['key']}")
    return record


def _check(record: dict[str, Any]) -> None:
    if not is_record(record):
        raise Damaged("is no whole cell record")
    try:
        right = key_of(record["cell"])
    except (ValueError, TypeError, RecursionError):
        right = None
    if record["key"] != right:
        raise Damaged("holds settings that are not those its key stands for")


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_DIGITS].encode()
