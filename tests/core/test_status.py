"""The sets of statuses, written out once more by hand."""

import re
from pathlib import Path
from typing import get_args

import robustbench_fl
from robustbench_fl.core.status import COUNTED, FAILURES, FINAL, MEANING, RESUMED, RETRIED, Final, Status


def test_the_sets_are_what_they_say():
    assert set(MEANING) == set(get_args(Status))
    assert set(COUNTED) == {"done", "diverged"}
    assert set(FINAL) == set(get_args(Final)) == {"done", "diverged", "infeasible"}
    assert set(FAILURES) == {"failed", "timeout", "oom"}
    assert set(RESUMED) == {"oom", "interrupted"}
    assert set(RETRIED) == {"failed", "timeout"}
    assert set(MEANING) == FINAL | RESUMED | RETRIED
    assert not FINAL & (RESUMED | RETRIED)
    assert all(known.text for known in MEANING.values())


def test_no_other_file_lists_statuses():
    names = "|".join(get_args(Status))
    listed = re.compile(rf'[{{(\[]\s*"({names})",\s*"({names})"')
    package = Path(robustbench_fl.__file__).parent
    found = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if path.name != "status.py" and listed.search(path.read_text())
    ]
    assert set(found) <= {"notebook.py", "cli/progress.py"}  # what they ask is another question
