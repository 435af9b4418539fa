from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from robustbench_fl.api import registry


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from threads, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the plug-ins that a test loads, and nothing else."""
    for kind in registry.PACKAGES:
        registry.load_all(kind)
    entries = {kind: dict(found) for kind, found in registry._entries.items()}
    aliases = {kind: dict(found) for kind, found in registry._aliases.items()}
    monkeypatch.setattr(registry, "_entries", entries)
    monkeypatch.setattr(registry, "_aliases", aliases)
    monkeypatch.setattr(registry, "_plugins", set(registry._plugins))
