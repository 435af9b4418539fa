"""Ending a run early: by a signal, or because too much has failed."""

from __future__ import annotations

import contextlib
import os
import signal
import weakref
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """A request to end the run, which also wakes whoever waits for workers.

    It has a file descriptor that becomes readable with the request, so that it can stand in one
    call of :func:`multiprocessing.connection.wait` beside the workers' pipes.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.signal: signal.Signals | None = None
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._writable, False)
        weakref.finalize(self, _close, self._readable, self._writable)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the run is to end."""
        return self._readable

    @property
    def requested(self) -> bool:
        """Whether the run is to end."""
        return self.reason is not None

    def request(self, reason: str) -> None:
        """Ask for the end of the run; the first `reason` is kept."""
        if self.reason is None:
            self.reason = reason
            os.write(self._writable, b"!")

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let SIGINT, SIGTERM and SIGHUP ask for the end; a second one raises ``KeyboardInterrupt``.

        A signal that is ignored stays ignored: so under ``nohup``, and SIGINT in the background of a
        shell without job control.
        """
        heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._handle) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        # Not by print: the signal may have come in the middle of one.
        with contextlib.suppress(OSError):
            os.write(2, f"\n{self.signal.name}: stopping. Once more to leave at once.\n".encode())
        self.request(self.signal.name)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
