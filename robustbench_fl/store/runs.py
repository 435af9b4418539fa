"""The runs into a sweep's folder: whose they are, and whether they are alive."""

from __future__ import annotations

import errno
import fcntl
import getpass
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from robustbench_fl.core.files import open_regular

LEASE = 60.0
"""Seconds without a sign of life after which a run on another machine counts as dead."""

_LONGEST = 1000
_CLAIM = re.compile(r"([0-9a-f]{16})\.([0-9]{1,6})")
_RUN = re.compile(r"([0-9a-f]{16})\.run")


@dataclass(frozen=True)
class Run:
    """Whose a run is, as it says itself.

    Parameters
    ----------
    boot : str
        What only processes of one machine, since it was started, have in common.
    user, host : str
        Empty in runs of older versions.
    process : int
        Its number there.
    since : float
        When it began, in seconds since 1970 by that machine's clock.
    """

    boot: str = ""
    user: str = ""
    host: str = ""
    process: int = 0
    since: float = 0.0

    @property
    def is_here(self) -> bool:
        """Whether it is of this machine, since this start of it."""
        return self.boot == _boot() != ""

    def __str__(self) -> str:
        if not self.host:
            return "a run of an older version, or one that has just begun"
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.since))
        return f"{self.user} on {self.host}, process {self.process}, since {began}"


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
    take_over : bool
        Whether runs count as dead that nothing on this machine proves alive.
    """

    folder: Path
    lease: float = LEASE
    clock: Callable[[], float] = time.monotonic
    take_over: bool = False
    _signs: dict[str, tuple[int, float]] = field(default_factory=dict)

    def is_alive(self, run: str) -> bool:
        """Whether `run` may still be at work."""
        try:
            descriptor = open_regular(self.folder / f"{run}.run")
        except OSError as error:
            return error.errno not in (errno.ENOENT, None)
        try:
            if _told(descriptor).is_here:
                return not _is_free(descriptor)
            return not self.take_over and self._beats(run, os.fstat(descriptor).st_mtime_ns)
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


def run_of(path: Path) -> Run:
    """Return whose the run with the file `path` is."""
    try:
        descriptor = open_regular(path)
    except OSError:
        return Run()
    try:
        return _told(descriptor)
    finally:
        os.close(descriptor)


def _told(descriptor: int) -> Run:
    """Return what a run's file says; that of an older version says the boot alone."""
    text = os.pread(descriptor, _LONGEST, 0).decode(errors="replace")
    try:
        told = json.loads(text)
        words = {name: _plain(told[name]) for name in ("boot", "user", "host")}
        return Run(**words, process=int(told["process"]), since=float(told["since"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return Run(boot=text)


def myself() -> bytes:
    """Return what the file of a run of this process says."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = str(os.getuid())
    run = {"boot": _boot(), "user": user, "host": socket.gethostname(), "process": os.getpid()}
    return json.dumps({**run, "since": round(time.time())}).encode()[:_LONGEST]


def _plain(word: object) -> str:
    """Return a word of a file that may be anybody's, fit for a message."""
    return re.sub(r"[^\w.@-]", "?", str(word))[:64]


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
