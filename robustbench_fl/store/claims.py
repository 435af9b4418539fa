"""Who runs which cell, when several processes sweep into one folder.

::

    claims/<run>.run            one file a running process: it holds the file's lock as long as it
                                lives, and touches it every few seconds
    claims/<key>.<number>       the cell `key` is taken, by the run named inside

A claim is taken by creating its file, which only one process can. It counts for as long as its run
is alive. A run is dead when its file is gone; or when it is of this machine, since this start of it,
and its lock is free (the system lets go of the locks of a process that dies); or when this process
has seen its file unchanged for the lease, on a clock that nobody sets. Times of different machines
are never compared. The claim of a dead run is not removed but outbid by the next number, since two
processes may find it dead at the same time.

A claim only saves work. Should one fail (a suspended machine, a file system that breaks its
promises), a cell is run twice, and its second record, with the same numbers, replaces the first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from robustbench_fl.core.files import WriteError, open_regular
from robustbench_fl.core.places import own_folder
from robustbench_fl.store.errors import StoreError

FOLDER = "claims"
LEASE = 60.0
"""Seconds without a sign of life after which a run on another machine counts as dead."""
BEAT = 5.0
"""Seconds between two signs of life."""

_CLAIM = re.compile(r"([0-9a-f]{16})\.([0-9]{1,6})")
_RUN = re.compile(r"([0-9a-f]{16})\.run")


@dataclass
class Watcher:
    """Tells live runs from dead ones, the better the longer it watches.

    Parameters
    ----------
    folder : Path
        ``claims/`` of a sweep.
    lease : float
        Seconds.
    clock : callable
        Seconds that only ever go forward.
    """

    folder: Path
    lease: float = LEASE
    clock: Callable[[], float] = time.monotonic
    _signs: dict[str, tuple[int, float]] = field(default_factory=dict)

    def is_alive(self, run: str) -> bool:
        """Whether `run` may still be at work."""
        try:
            descriptor = open_regular(self.folder / f"{run}.run")
        except OSError as error:
            return error.errno not in (errno.ENOENT, None)
        try:
            if os.pread(descriptor, 100, 0).decode(errors="replace") == _boot() != "" and _is_free(
                descriptor
            ):
                return False
            return self._beats(run, os.fstat(descriptor).st_mtime_ns)
        finally:
            os.close(descriptor)

    def is_claimed(self, path: Path) -> bool:
        """Whether the claim in `path` counts."""
        try:
            descriptor = open_regular(path)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            run = os.pread(descriptor, 100, 0).decode(errors="replace")
            if re.fullmatch("[0-9a-f]{16}", run):
                return self.is_alive(run)
            # Made a moment ago and about to be written, or its maker died in between.
            return self._beats(path.name, os.fstat(descriptor).st_mtime_ns)
        finally:
            os.close(descriptor)

    def _beats(self, name: str, sign: int) -> bool:
        now = self.clock()
        last, since = self._signs.get(name, (None, now))
        if last != sign:
            since = now
        self._signs[name] = (sign, since)
        return now - since < self.lease


class Claims:
    """The claims of this process on the cells of one folder.

    Parameters
    ----------
    folder : Path
        The sweep's folder.
    lease, beat : float
        Seconds after which a silent run counts as dead, and between two signs of life of this one.

    Raises
    ------
    WriteError
        From all methods, if the folder cannot be written.
    """

    def __init__(self, folder: Path, *, lease: float = LEASE, beat: float = BEAT) -> None:
        self.folder = folder / FOLDER
        self.run = secrets.token_hex(8)
        self._watcher = Watcher(self.folder, lease)
        self._beat = beat
        self._held: dict[str, Path] = {}
        self._descriptor = -1
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        own_folder(self.folder)
        self._descriptor = self._start()
        threading.Thread(target=self._live, name="signs of life", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for key in list(self._held):
            self.release(key)
        self._ended.set()
        with contextlib.suppress(OSError):
            self._file.unlink()
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def take(self, key: str) -> bool:
        """Claim the cell `key`; return whether it is this process's now.

        Whoever gets a claim looks once more whether the cell was stored meanwhile: a claim is given
        back only after that.
        """
        numbers = sorted(number for other, number, _ in claims_in(self.folder) if other == key)
        if numbers and self._watcher.is_claimed(self.folder / f"{key}.{numbers[-1]}"):
            return False
        path = self.folder / f"{key}.{numbers[-1] + 1 if numbers else 0}"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return False
        except OSError as error:
            raise WriteError.of(path, error) from None
        try:
            os.write(descriptor, self.run.encode())
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            raise WriteError.of(path, error) from None
        finally:
            os.close(descriptor)
        self._held[key] = path
        return True

    def release(self, key: str) -> None:
        """Give the cell `key` back; dead claims that were outbid go first, so that none comes to life."""
        path = self._held.pop(key, None)
        if path is None:
            return
        mine = int(path.suffix[1:])
        with contextlib.suppress(OSError):
            older = [
                claim for other, number, claim in claims_in(self.folder) if other == key and number < mine
            ]
            for claim in sorted(older):
                claim.unlink(missing_ok=True)
            if path.read_bytes() == self.run.encode():
                path.unlink()

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.run}.run"

    def _start(self) -> int:
        for _ in range(100):  # another run may remove the empty folder in between
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise WriteError.of(self._file, error) from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                os.write(descriptor, _boot().encode())  # only a run that holds its lock says where it is
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                    os.close(descriptor)
                    with contextlib.suppress(OSError):
                        self._file.unlink()
                    raise WriteError.of(self._file, error) from None
            return descriptor
        raise WriteError.of(self._file, FileNotFoundError(errno.ENOENT, "its folder vanishes"))

    def _live(self) -> None:
        while not self._ended.wait(self._beat):
            with contextlib.suppress(OSError):
                os.utime(self._descriptor)


def claims_in(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """Yield key, number and file of every claim in ``claims/``."""
    for name in _names(folder):
        if match := _CLAIM.fullmatch(name):
            yield match[1], int(match[2]), folder / name


def runs_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and file of every run in ``claims/``."""
    for name in _names(folder):
        if match := _RUN.fullmatch(name):
            yield match[1], folder / name


def running(folder: Path) -> int:
    """Return how many cells of a sweep's folder are claimed by runs that seem alive."""
    claims = folder / FOLDER
    watcher = Watcher(claims)
    last = {key: path for key, _, path in sorted(claims_in(claims))}
    return sum(map(watcher.is_claimed, last.values()))


def refuse_running(folder: Path, what: str) -> None:
    """Refuse to change a folder under a sweep that is running into it.

    Raises
    ------
    StoreError
        If there is a run that seems alive.
    """
    claims = folder / FOLDER
    watcher = Watcher(claims)
    if any(watcher.is_alive(run) for run, _ in runs_in(claims)):
        raise StoreError(
            f"A sweep is running into {str(folder)!r}, or was killed on another machine. Wait for its end to "
            f"{what}; if there is none, remove {str(claims)!r}."
        )


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _is_free(descriptor: int) -> bool:
    """Whether nobody holds the lock of a run's file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def _boot() -> str:
    """Return what only processes of this machine, since it was started, have in common; else nothing."""
    try:
        told = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return ""
    return hashlib.sha256(b"robustbench-fl claims" + told).hexdigest()[:16]
