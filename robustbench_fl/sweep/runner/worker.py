"""A worker process: the child's side, which runs cells, and the parent's handle on it."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, MutableSequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.reduction import DupFd
from typing import Any

from robustbench_fl.core.record import FINAL, CellRecord
from robustbench_fl.sweep.runner.attempts import Task
from robustbench_fl.sweep.runner.environment import Environment
from robustbench_fl.sweep.runner.listening import Listener
from robustbench_fl.sweep.runner.policy import RunPolicy
from robustbench_fl.sweep.runner.processes import follow_parent, single_threaded_environment

LONGEST_LOG = 2**20
"""Bytes of a cell's output that are kept: its end."""
_START = 300.0
"""Seconds that a process may take to start, where cells have a timeout."""


@dataclass(frozen=True)
class Retrying:
    """Sent by a worker that begins its cell anew."""

    reason: str


class Ready:
    """Sent by a worker once it can run cells."""


class Worker:
    """One spawned process and the cell it has in hand.

    Its standard output and error go to a file without a name, emptied with every cell.

    Parameters
    ----------
    number : int
        Names the worker in events.
    context : SpawnContext
        Starts the process.
    environment : Environment
        Handed to it.
    policy : RunPolicy
        Handed to it; its timeout is enforced here too.
    """

    def __init__(
        self, number: int, context: SpawnContext, environment: Environment, policy: RunPolicy
    ) -> None:
        self.number = number
        self.policy = policy
        self.task: Task | None = None
        self.pipe, theirs = context.Pipe()
        self._output = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        self._rounds = context.RawArray("q", 1)
        self._ready = False
        self._deadline: float | None = None
        self._process = context.Process(
            target=_work,
            args=(theirs, environment, policy, self._rounds, _Inherited(self._output.fileno())),
            daemon=True,
        )
        with single_threaded_environment():
            self._process.start()
        theirs.close()
        pid = self._process.pid
        self._death = os.pidfd_open(pid) if pid and hasattr(os, "pidfd_open") else None

    @property
    def signs(self) -> list[Any]:
        """What becomes ready when the worker says something or dies.

        The pipe alone does not show that it died: what a method started may hold it open.
        """
        return [self.pipe, self._death] if self._death is not None else [self.pipe]

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._process.pid

    @property
    def rounds(self) -> int:
        """Rounds that the cell in hand has finished."""
        return int(self._rounds[0])

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the cell in hand is to be killed; ``None`` without a timeout."""
        return None if self._deadline is None else self._deadline - time.monotonic()

    @property
    def overdue(self) -> bool:
        """Whether the cell in hand should have ended long ago."""
        return self._deadline is not None and time.monotonic() > self._deadline

    def give(self, task: Task) -> None:
        """Hand over a cell."""
        self.task = task
        self._rounds[0] = 0
        self._set_deadline(0.0 if self._ready else _START)
        with contextlib.suppress(BrokenPipeError):  # a dead worker is noticed when it is listened to
            self.pipe.send(task.planned)

    def receive(self) -> CellRecord | Retrying | None:
        """Return what the worker says of its cell, ``None`` if only that it has started.

        Raises
        ------
        EOFError, OSError
            If the process is dead.
        """
        if not self.pipe.poll() and self._is_dead():
            raise EOFError
        said = self.pipe.recv()
        if isinstance(said, Ready):
            self._ready = True
            self._set_deadline(0.0)
            return None
        if isinstance(said, CellRecord):
            self._deadline = None
        return said  # type: ignore[no-any-return]

    def output(self) -> bytes:
        """Return what the worker has printed since it took the cell, if long its end."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), LONGEST_LOG, max(0, size - LONGEST_LOG))

    def end(self, patience: float = 0.0) -> int | None:
        """End the process and all that it started, and return its exit code.

        Parameters
        ----------
        patience : float
            Seconds it is given to end by itself.
        """
        if self._death is not None:
            wait([self._death], patience)
        else:
            self._process.join(timeout=patience)
        if pid := self._process.pid:
            with contextlib.suppress(OSError):  # before it is joined: until then nobody else has its number
                os.killpg(pid, signal.SIGKILL)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self.pipe.close()
        self._output.close()
        if self._death is not None:
            os.close(self._death)
            self._death = None
        return self._process.exitcode

    def _is_dead(self) -> bool:
        return self._death is not None and bool(wait([self._death], 0.0))

    def _set_deadline(self, extra: float) -> None:
        if self.policy.timeout is not None:
            self._deadline = time.monotonic() + self.policy.timeout + self.policy.grace + extra


class _Inherited:
    """A file descriptor that a spawned process gets a copy of."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __getstate__(self) -> Any:
        return DupFd(self.descriptor)

    def __setstate__(self, state: Any) -> None:
        self.descriptor = state.detach()


class _Output(io.TextIOWrapper):
    """Standard output or error of a worker: a full disk must not make a cell fail that prints."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


class _Voice(Listener):
    """Tells the parent of a cell: rounds through shared memory, the rest through the pipe and the log."""

    def __init__(self, pipe: Connection, rounds: MutableSequence[int]) -> None:
        self._pipe = pipe
        self._rounds = rounds

    def round_finished(self, rounds: int) -> None:
        self._rounds[0] = rounds

    def warned(self, message: str) -> None:
        print(message, file=sys.stderr)

    def retrying(self, reason: str) -> None:
        print(f"{reason} The cell begins anew.", file=sys.stderr)
        self._rounds[0] = 0
        self._pipe.send(Retrying(reason))


def _work(
    pipe: Connection,
    environment: Environment,
    policy: RunPolicy,
    rounds: MutableSequence[int],
    output: _Inherited,
) -> None:
    """Run cells until the pipe closes. Only this process imports torch, not the one that starts it."""
    # Whoever stops a run signals all its processes; the parent then ends this one.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.setpgid(0, 0)  # what methods start is ended with it
    follow_parent()
    _redirect(output.descriptor)
    from robustbench_fl.api import registry
    from robustbench_fl.sweep.runner.execute import execute, one_thread

    for path in environment.plugins:
        registry.load_plugin(path)
    voice = _Voice(pipe, rounds)
    with contextlib.suppress(BrokenPipeError, EOFError), one_thread():
        pipe.send(Ready())
        while True:
            planned = pipe.recv()
            with _fresh_log(policy):
                result = execute(planned, environment, policy, voice)
            if result.status not in FINAL:
                print(result.traceback or result.reason, file=sys.stderr, flush=True)
            pipe.send(result)


def _redirect(descriptor: int) -> None:
    """Let this process print into a file, Python and native code alike, faults included."""
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)
    sys.stdout, sys.stderr = (
        _Output(io.FileIO(standard, "w", closefd=False), "utf-8", "backslashreplace", line_buffering=True)
        for standard in (1, 2)
    )
    faulthandler.enable()


@contextlib.contextmanager
def _fresh_log(policy: RunPolicy) -> Iterator[None]:
    """Empty this process's output; if the cell hangs, have all its threads' tracebacks written to it."""
    with contextlib.suppress(OSError):
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)
    if policy.timeout is not None:
        faulthandler.dump_traceback_later(policy.timeout + 0.8 * policy.grace)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        sys.stdout.flush()
        sys.stderr.flush()
