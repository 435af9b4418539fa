"""Calls made in a process of their own, so that what they import does not stay in this one.

Methods need torch, which takes seconds to import and hundreds of megabytes to keep. The main process of
a sweep only hands out cells and writes records, for days perhaps: it stays small.
"""

from __future__ import annotations

import importlib
import multiprocessing
import pickle
import sys
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from robustbench_fl.api import registry
from robustbench_fl.core.errors import RobustbenchError
from robustbench_fl.sweep.runner.processes import follow_parent, single_threaded_environment

P = ParamSpec("P")
T = TypeVar("T")


class Apart:
    """A spawned process that calls functions for this one, started with the first call.

    Where torch is imported already (a notebook, a test) there is nothing to keep away, and
    functions are called right here.

    Parameters
    ----------
    plugins : tuple of Path
        Python files whose methods are registered before the first call.
    ready_for : str, optional
        A module that the process imports at once, while this one goes on: a ``with`` starts it.
    """

    def __init__(self, plugins: tuple[Path, ...] = (), ready_for: str | None = None) -> None:
        self._plugins = plugins
        self._ready_for = ready_for
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Self:
        if self._ready_for and "torch" not in sys.modules:
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
            At the top of a module; it, its arguments and its result are pickled.

        Raises
        ------
        RobustbenchError
            If the process died.
        Exception
            Whatever the function raised.
        """
        if "torch" in sys.modules:
            for path in self._plugins:
                registry.load_plugin(path)
            return function(*arguments, **named)
        pipe = self._started()
        try:
            pipe.send((function, arguments, named))
            result, error, said = pipe.recv()
        except (EOFError, OSError):
            raise RobustbenchError(self._epitaph()) from None
        for message in said:
            warnings.warn(message, stacklevel=2)
        if error is not None:
            raise error
        answer: T = result
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process is None or self._pipe is None:
            return
        self._pipe.close()
        self._process.terminate()
        self._process.join(timeout=10)
        self._process = self._pipe = None

    def _started(self) -> Connection:
        if self._pipe is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(
                target=_serve, args=(theirs, self._plugins, self._ready_for), daemon=True
            )
            with single_threaded_environment():
                self._process.start()
            theirs.close()
        return self._pipe

    def _epitaph(self) -> str:
        assert self._process is not None
        self._process.join(timeout=10)
        code = self._process.exitcode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        return f"The process that reads methods and data {how}. Is there enough memory?"


def _serve(pipe: Connection, plugins: tuple[Path, ...], ready_for: str | None) -> None:
    """Answer calls until the pipe closes."""
    follow_parent()
    if ready_for:
        importlib.import_module(ready_for)
    loaded = False
    while True:
        try:
            function, arguments, named = pipe.recv()
        except EOFError:
            return
        with warnings.catch_warnings(record=True) as caught:
            try:
                if not loaded:
                    for path in plugins:
                        registry.load_plugin(path)
                    loaded = True
                result, fault = function(*arguments, **named), None
            except Exception as error:
                result, fault = None, _portable(error)
        said = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        pipe.send((result, fault, said))


def _portable(error: Exception) -> Exception:
    """Return `error` as it can travel: those for people as they are, faults with their traceback."""
    if not isinstance(error, RobustbenchError):
        return RuntimeError("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # what this process itself made, not what it read
    except Exception:
        return RobustbenchError(str(error))
    return error
