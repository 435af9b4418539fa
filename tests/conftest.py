"""Shared by all tests."""

import io
import signal
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest
from hypothesis import settings

from robustbench_fl.api import registry
from robustbench_fl.cli.main import main
from robustbench_fl.sweep.runner import local

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


@pytest.fixture(scope="session", autouse=True)
def no_terminal():
    """Print as into a pipe, in full width: the environment may hold a terminal's width."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture
def own_registry(monkeypatch):
    """Let a test register methods; they are forgotten after it."""
    _own_registry(monkeypatch)


def _own_registry(monkeypatch):
    # All first: a module imported during the test would be forgotten too, and never come back.
    for kind in registry.PACKAGES:
        registry.load_all(kind)
    monkeypatch.setattr(registry, "_entries", {k: dict(v) for k, v in registry._entries.items()})
    monkeypatch.setattr(registry, "_aliases", {k: dict(v) for k, v in registry._aliases.items()})
    monkeypatch.setattr(registry, "_plugins", set(registry._plugins))


def _without_plugins(monkeypatch):
    """Leave the built-in methods alone, as a new process has them."""
    own = {
        kind: {n: e for n, e in known.items() if not e.is_plugin} for kind, known in registry._entries.items()
    }
    monkeypatch.setattr(registry, "_entries", own)
    monkeypatch.setattr(registry, "_plugins", set())


@pytest.fixture
def no_plugins(own_registry, monkeypatch):
    """Forget the plug-ins of other tests of this process."""
    _without_plugins(monkeypatch)


class HereBackend:
    """Runs cells in this process: a spawned worker would import torch anew for every command."""

    def __init__(self, jobs, environment, *more):
        self.environment = environment

    def run(self, cells, *more):
        for cell in cells:
            from robustbench_fl.sweep.runner.execute import execute

            yield execute(cell, self.environment)


@pytest.fixture
def cells_here(monkeypatch):
    """Let commands that are called in this process run their cells in it too, and draw nothing."""
    _quick(monkeypatch)


def _quick(patch):
    patch.setattr(local, "LocalBackend", HereBackend)
    # Two thirds of the end of a small sweep; pictures have tests of their own.
    patch.setattr("robustbench_fl.report.figures.sweep_figures", lambda *given: iter(()))


class Done(NamedTuple):
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def _run_here(folder, *arguments):
    """Run the command line in `folder` as the installed script does, but in this process, cells too."""
    said, told = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        patch.chdir(folder)
        _quick(patch)
        patch.setattr(sys, "argv", ["robustbench-fl", *map(str, arguments)])
        patch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterwards
        _own_registry(patch)
        _without_plugins(patch)
        with redirect_stdout(said), redirect_stderr(told), pytest.raises(SystemExit) as stop:
            main()
        for warning in caught:
            told.write(f"Warning: {warning.message}\n")
    _forget_plugins()
    return Done(int(stop.value.code or 0), said.getvalue(), told.getvalue())


def _forget_plugins():
    """Forget the plug-ins of a command, as the end of its process would, and what was kept by their names."""
    plugins = [name for name in sys.modules if name.startswith("robustbench_fl_plugin_")]
    for name in plugins:
        del sys.modules[name]
    if not plugins:
        return
    replay = sys.modules.get("robustbench_fl.conformance.replay")
    if replay and replay.other_process.cache_info().currsize:
        replay._end(replay.other_process())  # it knows their names too
        replay.other_process.cache_clear()
    for name in [name for name in sys.modules if name.startswith("robustbench_fl.sweep.")]:
        for value in vars(sys.modules[name]).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


@pytest.fixture(scope="session")
def run_here():
    """Return :func:`_run_here`: seconds less than a process a command."""
    return _run_here
