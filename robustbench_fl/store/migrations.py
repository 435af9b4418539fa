"""Records of older schemas, brought to the present one when they are read.

To raise :data:`robustbench_fl.core.record.SCHEMA` from n to n + 1, add the step from n here, and a
record of schema n to the tests. A step takes a whole record and returns a new one; it never
touches ``cell`` or ``key``, so that finished cells are still found. Files are left as they are:
a record is stored in its new form when it is next written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from robustbench_fl.core.record import SCHEMA
from robustbench_fl.store.errors import NewerSchema

Record = dict[str, Any]

UNSEALED = frozenset({1})
"""Schemas whose records carry no checksum."""


def _one_to_two(record: Record) -> Record:
    """Schema 2 differs by the checksum alone, which is not part of what readers get."""
    return record


def _two_to_three(record: Record) -> Record:
    """Schema 3 adds ``image_counts``, which nobody can tell of a cell that was run before."""
    return {**record, "image_counts": None}


STEPS: Mapping[int, Callable[[Record], Record]] = {1: _one_to_two, 2: _two_to_three}
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
