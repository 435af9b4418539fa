"""Code that decides numbers does not change under an unchanged version; a file holds both for each method."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path

import pytest

from robustbench_fl import engine
from robustbench_fl.api import registry
from robustbench_fl.core.cell import ENGINE_VERSION
from robustbench_fl.core.code import digest_of_code

HELD = Path(__file__).with_name("versions_of_code.json")
ANEW = "ROBUSTBENCH_FL_CONFIRM_CODE"
"""Set it to 1 to write the file anew: where the version was raised, or its golden numbers are unchanged."""


def now() -> dict[str, dict[str, str | int]]:
    """Return the version and the digest of the code of every built-in method, and of the engine."""
    found: dict[str, dict[str, str | int]] = {}
    for kind in registry.PACKAGES:
        for entry in registry.load_all(kind):
            if entry.is_plugin:
                continue
            path = Path(inspect.getfile(entry.cls)).resolve()
            code = digest_of_code(path, entry.cls.__qualname__, home=path.parent)
            found[f"{kind}/{entry.name}"] = {"version": entry.version, "code": code}
    for path in sorted(Path(engine.__file__).parent.glob("*.py")):
        found[f"engine/{path.stem}"] = {
            "version": ENGINE_VERSION,
            "code": digest_of_code(path, "*", home=path),
        }
    return found


def complaints(held: dict[str, dict[str, str | int]], found: dict[str, dict[str, str | int]]) -> list[str]:
    """Return a sentence for every method whose code changed while its version says that it did not."""
    said = []
    for name in sorted({*held, *found}):
        before, after = held.get(name), found.get(name)
        if before == after:
            continue
        if before is None or after is None:
            said.append(f"{name} is {'new' if before is None else 'gone'}. Write {HELD.name} anew.")
        elif before["version"] == after["version"]:
            said.append(
                f"The code of {name} changed, its version is still {after['version']}. If any number of it "
                "can change, raise its version; if its golden numbers prove that none does, confirm that."
            )
        else:
            said.append(f"{name} has version {after['version']} now. Write {HELD.name} anew.")
    return said


def test_the_version_of_every_method_tells_its_code():
    found = now()
    if os.environ.get(ANEW) == "1":
        HELD.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    said = complaints(json.loads(HELD.read_text()), found)
    assert not said, "\n".join(
        [*said, f"To confirm or write anew: {ANEW}=1 python -m pytest {Path(__file__).name}"]
    )


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ({"version": 1, "code": "b"}, "The code of rule changed, its version is still 1"),
        ({"version": 2, "code": "b"}, "rule has version 2 now"),
        (None, "rule is gone"),
    ],
)
def test_it_says_what_to_do(after, sentence):
    (said,) = complaints({"rule": {"version": 1, "code": "a"}}, {"rule": after} if after else {})
    assert said.startswith(sentence)
