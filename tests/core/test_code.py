"""The digest of a method's code changes with what runs, and with nothing else."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

import robustbench_fl
from robustbench_fl.core.code import digest_of_code, registered_in

RULE = '''
"""A rule."""
import math
from robustbench_fl.api import register

FACTOR = 2.0
UNUSED = 3

def helper(x):
    """Say what it does."""
    return x * FACTOR

def unused(x):
    return x

@register("my_rule")
class MyRule:
    """Doc."""

    trim: float = 0.1

    def aggregate(self, updates):
        # a comment
        return helper(updates.mean(0))
'''


def digest(folder: Path, text: str = RULE, name: str = "MyRule", **beside: str) -> str:
    for module, content in beside.items():
        (folder / f"{module}.py").write_text(textwrap.dedent(content))
    path = folder / "my_rule.py"
    path.write_text(textwrap.dedent(text))
    return digest_of_code(path, name)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another comment, and\n\n        # one more"),
        ('"""Doc."""', '"""Other words."""'),
        ('    """Say what it does."""\n', ""),
        ("UNUSED = 3", "UNUSED = 4"),
        ("def unused(x):\n    return x", "def unused(y):\n    return y + 1"),
        ("helper(updates.mean(0))", "helper(\n            updates.mean(0),\n        )"),
        ('"""A rule."""', '"""Another file."""'),
    ],
)
def test_what_does_not_run_does_not_count(tmp_path, old, new):
    assert old in RULE
    assert digest(tmp_path) == digest(tmp_path, RULE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mean(0)", "median(0)"),
        ("FACTOR = 2.0", "FACTOR = 2.5"),
        ("x * FACTOR", "x / FACTOR"),
        ("trim: float = 0.1", "trim: float = 0.2"),
        ('register("my_rule")', 'register("my_rule", version=2)'),
        ("import math", "import math\nmath.inf.hex()"),
    ],
)
def test_what_runs_counts(tmp_path, old, new):
    assert old in RULE
    assert digest(tmp_path) != digest(tmp_path, RULE.replace(old, new))


def test_it_is_the_same_in_every_version_of_python(tmp_path):
    assert digest(tmp_path) == "414dbb85bd4c0cd5"


def test_what_is_imported_from_beside_it_counts(tmp_path):
    text = RULE.replace("import math", "from helpers import scale").replace("x * FACTOR", "scale(x)")
    helpers = "LIMIT = 1\ndef scale(x):\n    return x * LIMIT\ndef other(x):\n    return x\n"
    before = digest(tmp_path, text, helpers=helpers)
    assert digest(tmp_path, text, helpers=helpers.replace("return x\n", "return -x\n")) == before
    assert digest(tmp_path, text, helpers=helpers.replace("LIMIT = 1", "LIMIT = 2")) != before


def test_what_a_star_imports_from_beside_it_counts_and_from_elsewhere_does_not(tmp_path):
    text = RULE.replace("import math", "from helpers import *").replace("x * FACTOR", "scale(x)")
    before = digest(tmp_path, text, helpers="def scale(x):\n    return x\n")
    assert digest(tmp_path, text, helpers="def scale(x):\n    return -x\n") != before
    assert (
        digest(tmp_path, text, helpers="from more import *", more="def scale(x):\n    return x\n") != before
    )
    assert digest(tmp_path, RULE.replace("import math", "from math import *")) == "414dbb85bd4c0cd5"


def test_packages_count_through_relative_and_whole_imports(tmp_path):
    package = tmp_path / "theirs"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "maths.py").write_text("def f(x):\n    return x\n")
    (package / "rule.py").write_text("from .maths import f\nfrom theirs import maths\nclass R:\n    g = f\n")
    before = digest_of_code(package / "rule.py", "R")
    (package / "maths.py").write_text("def f(x):\n    return -x\n")
    assert digest_of_code(package / "rule.py", "R") != before


def test_of_a_class_made_in_a_function_the_whole_file_counts(tmp_path):
    text = "def make():\n    class Inner:\n        x = 1\n    return Inner\n"
    before = digest(tmp_path, text, "make.<locals>.Inner")
    assert digest(tmp_path, text.replace("x = 1", "x = 2"), "make.<locals>.Inner") != before


def test_names_are_read_without_running_the_file(tmp_path):
    path = tmp_path / "plug.py"
    path.write_text(RULE + "raise SystemExit\n@api.register('other', version=2)\nclass Other: pass\n")
    assert registered_in(path) == {"my_rule": "MyRule", "other": "Other"}


def test_this_package_does_not_count_for_a_plug_in_beside_it(tmp_path):
    ours = Path(robustbench_fl.__file__).parent
    (tmp_path / "robustbench_fl").symlink_to(ours)
    assert digest(tmp_path) == "414dbb85bd4c0cd5"
