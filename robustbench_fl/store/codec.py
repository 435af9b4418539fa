"""Records as bytes: the sealed line of one record, and older schemas.

A sealed record is a line of JSON that begins with its own checksum. The checksum covers every byte after
it, so a file that was cut short, or edited by hand, is known as such before anything in it is believed.
It shows damage, not forgery.

To raise :data:`robustbench_fl.core.record.SCHEMA` from n to n + 1, add the step from n to :data:`STEPS`,
and a record of schema n to the tests. A step takes a whole record and returns a new one. It never
touches ``cell`` or ``key``, so that finished cells are still found. Files are left as they are: a
record is stored in its new form when it is next written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import from_json

from robustbench_fl.core.cell import key_of
from robustbench_fl.core.durability import durability
from robustbench_fl.core.intact import is_record, labels_fit
from robustbench_fl.core.record import SCHEMA
from robustbench_fl.store.errors import Damaged, NewerSchema

Record = dict[str, Any]

PACKED = "cells.jsonl.gz"
"""The file of many records."""

UNSEALED = frozenset({1})
"""Schemas whose records carry no checksum."""


def _one_to_two(record: Record) -> Record:
    """Schema 2 differs by the checksum alone, which is not part of what readers get."""
    return record


def _two_to_three(record: Record) -> Record:
    """Schema 3 adds ``image_counts``, which nobody can tell of a cell that was run before."""
    return {**record, "image_counts": None}


def _three_to_four(record: Record) -> Record:
    """Schema 4 adds what is left of an attack that ended, which the curves tell, and accuracy by client."""
    metrics, curves = record.get("metrics"), record.get("curves") or {}
    if metrics is None:
        return record
    added: Record = {"client_accuracy": None, "worst_client_accuracy": None}
    attack = record["cell"]["attack"]["params"]
    added |= durability(
        curves.get("round", ()),
        curves.get("accuracy", ()),
        curves.get("attack_success", ()),
        start=attack.get("start", 0),
        stop=attack.get("stop"),
    )
    return {**record, "metrics": {**metrics, **added}}


_OLD_DEFAULT = re.compile(
    r"(?<![\w.:])fedredefense(?:\(preset=calibrated(?:, |\))|\((?!preset=)|(?![\w.:(]))"
)
"""A fedredefense whose text the change of its default preset, from ``fast`` to ``calibrated``, concerns."""


def _four_to_five(record: Record) -> Record:
    """Schema 5 calls by its name the preset of fedredefense that was the default before."""
    labels = record["labels"]
    return {**record, "labels": {**labels, "aggregator": _OLD_DEFAULT.sub(_renamed, labels["aggregator"])}}


def _renamed(found: re.Match[str]) -> str:
    """Return the beginning of the call under the default of today."""
    match found[0].removeprefix("fedredefense"):
        case "(preset=calibrated)":
            return "fedredefense"
        case "(preset=calibrated, ":
            return "fedredefense("
        case "(":
            return "fedredefense(preset=fast, "
        case _:
            return "fedredefense(preset=fast)"


STEPS: Mapping[int, Callable[[Record], Record]] = {
    1: _one_to_two,
    2: _two_to_three,
    3: _three_to_four,
    4: _four_to_five,
}
"""From each older schema, the step to the next."""


def migrated(record: Record) -> Record:
    """Return `record` in the present schema.

    Parameters
    ----------
    record : dict
        With a whole number ``schema_version`` of at least 1.

    Raises
    ------
    NewerSchema
        If it is of a later schema than this program knows.
    """
    version: int = record["schema_version"]
    if version > SCHEMA:
        raise NewerSchema(version, SCHEMA)
    for older in range(version, SCHEMA):
        record = {**STEPS[older](record), "schema_version": older + 1}
    return record


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
    if not raw:
        raise Damaged("is empty")
    sealed = has_checksum(raw)
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


def has_checksum(raw: bytes) -> bool:
    """Whether a line begins with its checksum; lines of older versions may not.

    Raises
    ------
    Damaged
        If it does, and the checksum does not fit.
    """
    if not raw.startswith(_START):
        return False
    if raw[len(_START) : _BODY] != _checksum(raw[_BODY:]):
        raise Damaged("was cut short or changed after it was written: its checksum does not fit")
    return True


def _check(record: dict[str, Any]) -> None:
    if not is_record(record):
        raise Damaged("is no whole cell record")
    try:
        right = key_of(record["cell"])
    except (ValueError, TypeError, RecursionError):
        right = None
    if record["key"] != right:
        raise Damaged("holds settings that are not those its key stands for")
    if not labels_fit(record):
        raise Damaged("names other methods than its key stands for")


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:_DIGITS].encode()
