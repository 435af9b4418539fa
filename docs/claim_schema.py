"""Write docs/claim.schema.json: the JSON Schema of a claim, from the code that reads one."""

from __future__ import annotations

import json
from pathlib import Path

from robustbench_fl.core.claim import Claim

PLACE = Path(__file__).with_name("claim.schema.json")


def text() -> str:
    """Return the content of the file."""
    return json.dumps(Claim.model_json_schema(), indent=1) + "\n"


if __name__ == "__main__":
    PLACE.write_text(text())
