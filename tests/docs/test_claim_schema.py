"""The committed JSON Schema of claims is that of the code, however its library writes one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from robustbench_fl.core.claim import Claim, Row

SCHEMA = Path(__file__).parents[2] / "docs" / "claim.schema.json"


def shape(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of each object, and which must be there."""
    objects = {"Claim": schema, **schema["$defs"]}
    return {name: (sorted(one["properties"]), sorted(one["required"])) for name, one in objects.items()}


def test_it_is_written() -> None:
    held = json.loads(SCHEMA.read_text())
    assert shape(held) == shape(Claim.model_json_schema()), "run python docs/claim_schema.py"
    assert len(held["properties"]["rows"]["items"]["prefixItems"]) == len(Row._fields)
    assert held["properties"]["schema_version"]["const"] == 1
    assert not held["additionalProperties"]
