"""Shared by all tests."""

import signal

import pytest
from hypothesis import settings

from robustbench_fl.api import registry

settings.register_profile("busy machines", deadline=None)
settings.load_profile("busy machines")


@pytest.fixture(scope="session", autouse=True)
def usual_signals():
    """Take signals as on a terminal: a shell starts what runs in its background with some of them ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.getsignal(number) for number in usual}
    for number, handler in usual.items():
        if before[number] is signal.SIG_IGN:
            signal.signal(number, handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


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
