"""Processes that this one starts: what they have in common, and the one that knows methods.

Methods need torch, which takes seconds to import and hundreds of megabytes to keep. The main process of
a sweep only hands out cells and writes records, perhaps for days: it stays small.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from robustbench_fl.api import registry
from robustbench_fl.core.errors import RobustbenchError
from robustbench_fl.core.later import is_loaded, load_later
from robustbench_fl.core.refusals import refusal

P = ParamSpec("P")
T = TypeVar("T")

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_PR_SET_PDEATHSIG = 1


def follow_parent() -> None:
    """End this process when its parent dies, whatever it is doing; leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int) -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
    _die_with_parent()
    if not parent.is_alive():
        os._exit(1)


def _die_with_parent() -> None:
    """Have Linux kill this process with its parent, even where native code keeps every thread waiting."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def single_threaded() -> dict[str, str]:
    """Return the variables that keep numerical libraries on one thread."""
    return dict.fromkeys(_THREAD_VARIABLES, "1")


@contextlib.contextmanager
def single_threaded_environment() -> Iterator[None]:
    """Let processes that are started within keep numerical libraries on one thread."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(single_threaded())
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class MethodProcess:
    """A spawned process that calls functions for this one, started with the first call.

    Where torch is imported already (a notebook, a test), functions are called in this process.

    Parameters
    ----------
    plugins : tuple of Path
        Python files whose methods are registered before a call.
    ready_for : str, optional
        A module that the process imports at once, while this one goes on: a ``with`` starts it.
    """

    def __init__(self, plugins: tuple[Path, ...] = (), ready_for: str | None = None) -> None:
        self._plugins = plugins
        self._ready_for = ready_for
        self._pool: ProcessPoolExecutor | None = None
        self._process: BaseProcess | None = None

    def __enter__(self) -> Self:
        if self._ready_for and not is_loaded("torch"):
            self._started()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Return what `function` returns.

        Parameters
        ----------
        function : callable
            At the top of a module. It, its arguments and its result are pickled.

        Raises
        ------
        RobustbenchError
            If the process died.
        Exception
            Whatever the function raised.
        """
        if is_loaded("torch"):
            for path in self._plugins:
                registry.load_plugin(path)
            with contextlib.redirect_stdout(sys.stderr):
                return function(*arguments, **named)
        try:
            future = self._started().submit(_called, self._plugins, function, arguments, named)
            result, error, messages = future.result()
        except (BrokenProcessPool, CancelledError):
            raise RobustbenchError(self._how_it_died()) from None
        for message in messages:
            warnings.warn(message, stacklevel=2)
        if error is not None:
            raise error
        answer: T = result
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._pool is None:
            return
        if self._process is not None:
            self._process.terminate()
        with contextlib.suppress(OSError):  # its own thread may be closing the same pipes
            self._pool.shutdown(cancel_futures=True)
        self._pool = self._process = None

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, initializer=_begin, initargs=(self._ready_for,))
            others = set(multiprocessing.active_children())
            with single_threaded_environment():
                self._pool.submit(os.getpid)  # a pool starts its process with the first task
            self._process = next(iter(set(multiprocessing.active_children()) - others), None)
        return self._pool

    def _how_it_died(self) -> str:
        how, process = "died", self._process  # which another thread may be closing
        if process is not None:
            until = time.monotonic() + 10
            # The pool's own thread may be the one that is told how it ended, a moment before it says so.
            while (code := process.exitcode) is None and time.monotonic() < until:
                time.sleep(0.01)
            killed = code is not None and code < 0
            how = f"was killed by signal {-code}" if code and killed else f"ended with code {code}"
        return f"The process that reads methods and data {how}. Is there enough memory?"


def _begin(ready_for: str | None) -> None:
    follow_parent()
    load_later("torch")  # what is asked of methods here rarely computes
    os.dup2(2, 1)  # what methods print, native code too: standard output is for what was asked
    if ready_for:
        importlib.import_module(ready_for)


def _called(
    plugins: tuple[Path, ...], function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, Exception | None, list[str]]:
    """Return the result of a call, or what it raised, and the warnings meant for users."""
    with warnings.catch_warnings(record=True) as caught:
        try:
            for path in plugins:
                registry.load_plugin(path)
            result, fault = function(*arguments, **named), None
        except Exception as error:
            result, fault = None, _portable(error)
    return result, fault, [str(w.message) for w in caught if issubclass(w.category, UserWarning)]


def _portable(error: Exception) -> Exception:
    """Return `error` as it can travel: those for people as they are, faults with their traceback."""
    if not isinstance(error, RobustbenchError):
        if refused := refusal(error):
            return refused
        return RuntimeError("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # what this process itself made, not what it read
    except Exception:
        return RobustbenchError(str(error))
    return error
