"""Shared by all tests."""

import pytest

from robustbench_fl import registry


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keep what tests derive from data out of the user's cache directory, in their processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUSTBENCH_FL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def own_registry(monkeypatch):
    """Let a test register methods; they are forgotten after it."""
    # All first: a module imported during the test would be forgotten too, and never come back.
    for kind in registry.PACKAGES:
        registry.load_all(kind)
    monkeypatch.setattr(registry, "_entries", {k: dict(v) for k, v in registry._entries.items()})
    monkeypatch.setattr(registry, "_aliases", {k: dict(v) for k, v in registry._aliases.items()})
    monkeypatch.setattr(registry, "_plugins", set(registry._plugins))
