"""Parameters of the built-in networks with their defaults, counted once: making some takes seconds."""

from __future__ import annotations

import json
from pathlib import Path

from robustbench_fl.api import UsageError
from robustbench_fl.api.registry import Entry

COUNTED = Path(__file__).parent / "sizes.json"
"""What :func:`counts` gives for each, held by tests/models/test_sizes.py."""
SHAPES = {"params_1x8x8": (1, 8, 8), "params_1x28x28": (1, 28, 28), "params_3x32x32": (3, 32, 32)}
"""The images that networks are compared on, with ten classes."""
Counts = dict[str, int | None]


def sizes(entry: Entry) -> Counts:
    """Return a network's parameters for each of :data:`SHAPES`, ``None`` where it takes no such images."""
    if not entry.is_plugin:
        known: dict[str, Counts] = json.loads(COUNTED.read_text())
        if entry.name in known:
            return known[entry.name]
    return counts(entry)


def counts(entry: Entry) -> Counts:
    """Return what :func:`sizes` does, by making the networks."""
    return {name: _count(entry, shape) for name, shape in SHAPES.items()}


def _count(entry: Entry, shape: tuple[int, int, int]) -> int | None:
    try:
        return int(entry.cls().build(shape, 10).n_params)
    except UsageError:
        return None
