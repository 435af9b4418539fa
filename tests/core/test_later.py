from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from robustbench_fl.core.later import is_loaded, load_later


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a package that writes down when it runs."""
    home = tmp_path / "asked_later"
    home.mkdir()
    said = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).open('a').write('x')\n"
    (home / "__init__.py").write_text(f"{said}import asked_later.inner\nx = asked_later.inner.y + 1\n")
    (home / "inner.py").write_text("import asked_later\ny = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "asked_later"
    for name in [name for name in sys.modules if name.startswith("asked_later")]:
        del sys.modules[name]


@pytest.mark.parametrize("use", ["attribute", "module below", "name from it"])
def test_a_module_runs_once_and_when_it_is_used(tmp_path: Path, package: str, use: str):
    load_later(package)
    module = importlib.import_module(package)
    assert importlib.import_module(package) is module
    assert not (tmp_path / "ran").exists()
    assert not is_loaded(package)
    found = {
        "attribute": lambda: module.x,
        "module below": lambda: importlib.import_module(f"{package}.inner").y + 1,
        "name from it": lambda: __import__(package, fromlist=["x"]).x,
    }[use]()
    assert (found, module.x) == (2, 2)
    assert is_loaded(package)
    assert (tmp_path / "ran").read_text() == "x"
    load_later(package)
    assert is_loaded(package)


def test_what_is_not_there_stays_so():
    load_later("no_such_module_anywhere")
    assert not is_loaded("no_such_module_anywhere")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module_anywhere")
