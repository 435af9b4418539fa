"""One process at a time, for the moment in which a folder's plan is read, grown and written."""

from __future__ import annotations

import errno
import fcntl
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robustbench_fl.core.files import WriteError
from robustbench_fl.store.errors import StoreError

LOCK = ".lock"
_BUSY = (errno.EWOULDBLOCK, errno.EACCES)


@contextmanager
def locked(folder: Path, *, patience: float = 60.0) -> Iterator[None]:
    """Hold the lock of a sweep's folder.

    Parameters
    ----------
    folder : Path
        Made if need be.
    patience : float
        Seconds to wait for another process.

    Raises
    ------
    StoreError
        If the other process does not let go.
    WriteError
        If the folder cannot be written.
    """
    path = folder / LOCK
    descriptor = _acquired(path, time.monotonic() + patience)
    try:
        yield
    finally:
        if descriptor >= 0:
            # Removed under the lock: who waits for this file sees that it is gone, and makes another.
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _acquired(path: Path, deadline: float) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise WriteError.of(path, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _BUSY:
                warnings.warn(
                    f"The file system of {str(path.parent)!r} has no locks ({error.strerror}): "
                    "do not start two sweeps in it at the same moment.",
                    stacklevel=2,
                )
                path.unlink(missing_ok=True)
                return -1
            if time.monotonic() > deadline:
                raise StoreError(
                    f"Another process is writing the plan of {str(path.parent)!r} and does not end. "
                    "Try again, or end it."
                ) from None
            time.sleep(0.05)
            continue
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))
