"""What every process that this one starts has in common."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait

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
