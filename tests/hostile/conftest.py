"""Small cells of the plug-in that a file of tests calls ``PLUGIN``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from robustbench_fl.api import registry
from robustbench_fl.core.cell import Planned
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand

SMALL = {
    "dataset": "synthetic", "attack": "none", "clients": 6, "rounds": 2, "model": "mlp(hidden=[8])",
}  # fmt: skip


@pytest.fixture
def plugin(request: pytest.FixtureRequest, tmp_path: Path, own_registry: None) -> Path:
    path = tmp_path / "bad_habits.py"
    path.write_text(request.module.PLUGIN)
    registry.load_plugin(path)
    return path


@pytest.fixture
def cells() -> Callable[..., list[Planned]]:
    """Return a function that plans a small cell of each rule it is given."""
    return lambda *rules: expand(make_sweep({}, {**SMALL, "aggregator": list(rules)}))


@pytest.fixture
def small_flags() -> list[str]:
    """Return the same settings for a command line."""
    return [part for name, value in SMALL.items() for part in (f"--{name}", str(value))]
