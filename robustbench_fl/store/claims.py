"""Who runs which cell, when several processes sweep into one folder.

::

    claims/<run>.run            one file a running process, which says whose it is: it holds the file's
                                lock as long as it lives, and touches it every few seconds
    claims/<key>.<number>       the cell `key` is taken, by the run named inside

A claim is taken by creating its file, which only one process can. It counts for as long as its run
is alive. A run is dead when its file is gone; or when it is of this machine, since this start of it,
and its lock is free (the system lets go of the locks of a process that dies); or when this process
has seen its file unchanged for the lease, on a clock that nobody sets. Times of different machines
are never compared. A command that cannot watch for so long (:func:`refuse_running`) compares two times of
one clock, that of the file system, and then watches for two signs of life. The claim of a dead run is not
removed but outbid by the next number, since two processes may find it dead at the same time.

A claim only saves work. Should one fail (a suspended machine, a file system that breaks its
promises), a cell is run twice, and its second record, with the same numbers, replaces the first.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from robustbench_fl.core.files import WriteError
from robustbench_fl.core.places import own_folder
from robustbench_fl.store.errors import StoreError
from robustbench_fl.store.runs import LEASE, Run, Watcher, claims_in, myself, run_of, runs_in

FOLDER = "claims"
BEAT = 5.0
"""Seconds between two signs of life."""


class Claims:
    """The claims of this process on the cells of one folder.

    Parameters
    ----------
    folder : Path
        The sweep's folder.
    lease, beat : float
        Seconds after which a silent run counts as dead, and between two signs of life of this one.
    take_over : bool
        Whether claims are taken from runs that nothing on this machine proves alive.

    Raises
    ------
    WriteError
        From all methods, if the folder cannot be written.
    """

    def __init__(
        self, folder: Path, *, lease: float = LEASE, beat: float = BEAT, take_over: bool = False
    ) -> None:
        self.folder = folder / FOLDER
        self.run = secrets.token_hex(8)
        self._watcher = Watcher(self.folder, lease, take_over=take_over)
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
                os.write(descriptor, myself())  # only a run that holds its lock says where it is
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


def running(folder: Path) -> list[tuple[Run, int]]:
    """Return the runs into a sweep's folder that seem alive, and how many cells each has claimed."""
    claims = folder / FOLDER
    watcher = Watcher(claims)
    last = {key: path for key, _, path in sorted(claims_in(claims))}
    held: dict[str, int] = {}
    for path in last.values():
        with contextlib.suppress(OSError):
            run = path.read_bytes()[:16].decode(errors="replace")
            held[run] = held.get(run, 0) + 1
    return [(run_of(path), held.get(run, 0)) for run, path in runs_in(claims) if watcher.is_alive(run)]


def refuse_running(folder: Path, what: str, *, take_over: bool = False, watched: float = 2 * BEAT) -> None:
    """Refuse to change a folder under a sweep that is running into it.

    Parameters
    ----------
    folder : Path
        The sweep's folder.
    what : str
        What is to be done; completes "wait for its end to".
    take_over : bool
        Whether the user is sure that runs on other machines are gone.
    watched : float
        Seconds for which a run that has been silent for the lease is watched before it is given up.

    Raises
    ------
    StoreError
        If there is a run that seems alive, with whose it is.
    """
    claims = folder / FOLDER
    watcher = Watcher(claims, take_over=take_over)
    alive = [path for run, path in runs_in(claims) if watcher.is_alive(run)]
    silent = {path: _sign(path) for path in alive if not run_of(path).is_here and _is_silent(path)}
    if silent:
        time.sleep(watched)
        alive = [path for path in alive if path not in silent or _sign(path) not in (silent[path], None)]
    if not alive:
        return
    run = run_of(alive[0])
    hint = "It is alive on this machine: its lock is held."
    if not run.is_here:
        hint = "If you are sure that it is gone, add --take-over."
    raise StoreError(f"A sweep is running into {str(folder)!r}: {run}. Wait for its end to {what}. {hint}")


def _is_silent(path: Path) -> bool:
    """Whether a run gave no sign of life for the lease, by the clock of the file system it writes to."""
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".now.", suffix=".tmp") as now:
            return os.fstat(now.fileno()).st_mtime - path.lstat().st_mtime > LEASE
    except OSError:
        return False


def _sign(path: Path) -> int | None:
    """Return the last sign of life of a run, ``None`` if it has ended."""
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return None
