"""The file of a claim: read strictly, bounded in size, never run, whole and as it was written."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from robustbench_fl.core.claim import SCHEMA, Claim, ClaimError, Row
from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.files import read_given, write_atomically

LARGEST_FILE = 32 << 20
"""Bytes that are read at most."""


def read_claim(path: Path) -> Claim:
    """Return the claim that a file holds, whole and consistent with its own digests.

    Raises
    ------
    UsageError
        If it cannot be read.
    ClaimError
        If it is no claim, or was changed, with what is wrong and where.
    """
    try:
        raw = read_given(path, LARGEST_FILE)
    except OSError as error:
        raise UsageError(f"Cannot read the claim {str(path)!r}: {error.strerror or error}.") from None
    try:
        return parsed(raw)
    except ClaimError as error:
        raise ClaimError(f"{str(path)!r} is refused: {error}") from None


def parsed(raw: bytes) -> Claim:
    """Return the claim in the content of a file; errors as :func:`read_claim`."""
    try:
        data = json.loads(
            raw, object_pairs_hook=_each_once, parse_constant=_not_finite, parse_float=_finite_number
        )
        claim = Claim.model_validate(data)
    except ValidationError as error:
        raise ClaimError(f"it is no claim of schema {SCHEMA}: {_said(error)}.") from None
    except RecursionError:
        raise ClaimError("it is nested too deeply.") from None
    except (ValueError, OverflowError) as error:
        raise ClaimError(f"it is no JSON that can be read: {str(error)[:200]}.") from None
    if claim.cells != digest_of(data["rows"]):
        raise ClaimError("its rows were changed: the digest of the cells does not fit.")
    del data["digest"]
    if claim.digest != digest_of(data):
        raise ClaimError("it was changed after it was written: its digest does not fit.")
    return claim


def sealed_claim(table: Mapping[str, Any]) -> Claim:
    """Return the claim of a table of all keys but the digests, which are added.

    Raises
    ------
    ClaimError
        If it is none.
    """
    blank = {**table, "columns": list(Row._fields), "schema_version": SCHEMA}
    try:
        data = Claim.model_validate(blank | {"cells": "0" * 64, "digest": "0" * 64}).model_dump(mode="json")
    except ValidationError as error:
        raise ClaimError(f"it is no claim of schema {SCHEMA}: {_said(error)}.") from None
    data["cells"] = digest_of(data["rows"])
    del data["digest"]
    return parsed(_canonical(data | {"digest": digest_of(data)}))


def write_claim(path: Path, claim: Claim) -> None:
    """Write a claim, a row a line, whole or not at all.

    Raises
    ------
    WriteError
        If the folder cannot be written.
    """
    write_atomically(path, text_of(claim).encode())


def text_of(claim: Claim) -> str:
    """Return the text of a claim's file."""
    parts = []
    for name, value in claim.model_dump(mode="json").items():
        entries = value if isinstance(value, list) and name != "columns" else None
        if entries:
            body = ",\n".join(f"  {_canonical(entry).decode()}" for entry in entries)
            parts.append(f' "{name}": [\n{body}\n ]')
        else:
            parts.append(f' "{name}": {_canonical(value).decode()}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def digest_of(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of plain data."""
    return hashlib.sha256(_canonical(value)).hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _finite_number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def _said(error: ValidationError) -> str:
    """Return the first thing that is wrong, and where."""
    found: Any = error.errors(include_url=False, include_input=False)[0]
    where, said = ".".join(map(str, found["loc"])), found["msg"].removeprefix("Value error, ")
    return (f"{where}: {said}" if where else said)[:300]
