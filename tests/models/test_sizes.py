from __future__ import annotations

import json
import os

from robustbench_fl.api import registry
from robustbench_fl.models.sizes import COUNTED, counts


def test_the_file_says_how_large_the_networks_are():
    found = {e.name: counts(e) for e in registry.load_all("models") if not e.is_plugin}
    if os.environ.get("ROBUSTBENCH_FL_CONFIRM_CODE"):
        COUNTED.write_text(json.dumps(found, indent=1) + "\n")
    assert found == json.loads(COUNTED.read_text()), (
        "Networks have another size. If that is meant, run this test with ROBUSTBENCH_FL_CONFIRM_CODE=1."
    )
    assert found["logistic"]["params_1x8x8"] == 65 * 10
