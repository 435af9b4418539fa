"""Files that appear whole or not at all, and reading that follows no link out of a folder."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from robustbench_fl.core.errors import RobustbenchError

LARGEST = 4 << 30
"""Bytes of a file beyond which it is nothing that this program wrote."""


class WriteError(RobustbenchError):
    """The folder cannot be written: full, read-only, or gone."""

    @classmethod
    def of(cls, path: Path, error: OSError) -> WriteError:
        """Return the error for a file that cannot be written, with the system's reason."""
        return cls(
            f"Cannot write {path.name!r} in {str(path.parent)!r}: {error.strerror or error}. "
            "What is already stored is intact; make room or choose another folder and run the sweep again."
        )


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` under a temporary name first, then rename.

    Raises
    ------
    WriteError
        If the folder cannot be made or written, with the system's reason.
    """
    with atomic(path) as file:
        file.write(content)


@contextlib.contextmanager
def atomic(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Open a file that takes its name `path` when the block ends without an error, else vanishes.

    Parameters
    ----------
    path : Path
        Its folder is made if need be.
    sync : bool
        Whether to wait until the content is on the disk. Without it a power cut may leave an empty
        file: for what is written again anyway, or when the caller syncs many files at once.

    Raises
    ------
    WriteError
        If the folder cannot be made or written, with the system's reason.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise WriteError.of(path, error) from None


def sync_files(paths: Iterable[Path]) -> None:
    """Wait until the content of files is on the disk; much faster for many than one after each write.

    Raises
    ------
    WriteError
        If the system cannot promise it.
    """
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise WriteError.of(path, error) from None


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_regular(path: Path | str) -> int:
    """Return a descriptor for reading the ordinary file `path`; a link is not followed.

    Raises
    ------
    OSError
        If there is none, or it is a link, a pipe, a folder …
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        raise OSError(errno.EINVAL, "is no ordinary file", os.fspath(path))
    return descriptor


def read_given(path: Path, largest: int) -> bytes:
    """Return the content of an ordinary file that a user names, which may be a link.

    Raises
    ------
    OSError
        If there is none, it is a pipe, a device …, or has more than `largest` bytes.
    """
    return read_regular(os.path.realpath(path), largest)[0]


def read_regular(path: Path | str, largest: int = LARGEST) -> tuple[bytes, os.stat_result]:
    """Return the content of the ordinary file `path`, and what the system says of it.

    Raises
    ------
    OSError
        As :func:`open_regular`, and if it has more than `largest` bytes.
    """
    descriptor = open_regular(path)
    try:
        found = os.fstat(descriptor)
        if found.st_size > largest:
            raise OSError(errno.EFBIG, f"has more than {largest >> 20} MB", os.fspath(path))
        content = part = os.read(descriptor, found.st_size + 1)
        while part and len(content) != found.st_size:
            content += (part := os.read(descriptor, 1 << 20))
        return content, found
    finally:
        os.close(descriptor)
