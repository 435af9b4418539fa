"""Which files were read and found whole, kept in SQLite so that the next reader need not ask again.

Derived, never the truth: a row holds good only for a file of the same size, times and inode; each
row carries checksums of itself, and an index that is damaged, foreign or of another version is
made anew. Where none can be written, one lives for as long as the process, in SQLite's own
temporary storage.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from robustbench_fl.core.record import SCHEMA
from robustbench_fl.core.version import __version__

LOOSE, PACKED, COUNTED = 0, 1, 2
"""Where a record lies: in a file of its own, or in the packed file; how many rows there are of the latter."""

_SCHEMA = (
    "CREATE TABLE heads (id INTEGER PRIMARY KEY, place INTEGER, key TEXT, size INTEGER, mtime INTEGER,"
    " ctime INTEGER, inode INTEGER, status TEXT, body INTEGER, seal INTEGER)",
    "CREATE TABLE bodies (id INTEGER PRIMARY KEY, body BLOB)",
)
_BATCH = 500
_VERSION = zlib.crc32(repr((3, _SCHEMA, SCHEMA, __version__)).encode()) & 0x7FFFFFFF


class Stat(NamedTuple):
    """By what a file is known to be the one that was read."""

    size: int
    mtime: int
    ctime: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Stat:
        """Return what of `found` is compared."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


class IndexEntry(NamedTuple):
    """One record of the index, without its body.

    Parameters
    ----------
    place : int
        `LOOSE`, `PACKED` or `COUNTED`.
    key : str
        The cell's key; ``"line N"`` for a packed line that is not whole, ``"line N, again KEY"`` for another
        record of a cell; for `COUNTED` the number of rows.
    stat : Stat
        Of the file it was read from.
    status : str, optional
        The cell's status; ``None`` if the record is not to be trusted.
    """

    place: int
    key: str
    stat: Stat
    status: str | None


class IndexDamaged(Exception):
    """A row is not as it was written."""


class Index:
    """The index of one folder.

    Parameters
    ----------
    path : Path
        Its file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = None
        self._private = True

    def heads(self) -> Iterator[tuple[int, IndexEntry]]:
        """Yield all rows with their numbers, by place and key.

        Raises
        ------
        IndexDamaged
            If one is not as it was written.
        """
        for number, place, key, *numbers, status, body, seal in self._connection().execute(
            "SELECT * FROM heads ORDER BY place, key"
        ):
            head = IndexEntry(place, key, Stat(*numbers), status)
            if seal != _seal(head, body):
                raise IndexDamaged
            yield number, head

    def body(self, number: int) -> bytes:
        """Return the body of the row `number`.

        Raises
        ------
        IndexDamaged
            If it is not as it was written.
        """
        rows = self._connection().execute(
            "SELECT bodies.body, heads.body FROM bodies JOIN heads USING (id) WHERE id = ?", (number,)
        )
        for body, checksum in rows:
            if isinstance(body, bytes) and zlib.crc32(body) == checksum:
                return body
        raise IndexDamaged

    def change(
        self, gone: Iterable[int], new: Iterable[tuple[IndexEntry, bytes]], *, keep: bool
    ) -> list[tuple[int, IndexEntry]]:
        """Remove rows and add others, all or nothing; return those added, with their numbers.

        Parameters
        ----------
        gone : iterable of int
            Numbers of rows.
        new : iterable of (IndexEntry, bytes)
            Rows with their bodies, read one by one.
        keep : bool
            Whether the folder is large enough for a file; one that is there is kept up to date anyway.

        Raises
        ------
        sqlite3.OperationalError
            If the file cannot be written: read-only, the disk is full, another process is at it.
        """
        if self._private and keep:
            self._publish()
        added: list[tuple[int, IndexEntry]] = []
        database = self._connection()
        with database:
            for number in gone:
                database.execute("DELETE FROM heads WHERE id = ?", (number,))
                database.execute("DELETE FROM bodies WHERE id = ?", (number,))
            ((last,),) = database.execute("SELECT coalesce(max(id), 0) FROM heads")
            rows = enumerate(new, last + 1)
            while some := list(islice(rows, _BATCH)):
                database.executemany(
                    "INSERT INTO heads VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [_row(number, head, zlib.crc32(body)) for number, (head, body) in some],
                )
                bodies = [(number, body) for number, (_, body) in some]
                database.executemany("INSERT INTO bodies VALUES (?, ?)", bodies)
                added += [(number, head) for number, (head, _) in some]
        return added

    def withdraw(self) -> None:
        """Go on in a private copy, and leave the file to others."""
        private = _empty("")
        with contextlib.suppress(sqlite3.Error):
            self._connection().backup(private)
        self.close()
        self._database, self._private = private, True

    def forget(self) -> None:
        """Start anew with nothing known, and remove a file that is not to be trusted."""
        self.close()
        self._private = True
        for name in (self.path, Path(f"{self.path}-journal")):
            with contextlib.suppress(OSError):
                name.unlink()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = self._from_file() or _empty("")
        return self._database

    def _from_file(self) -> sqlite3.Connection | None:
        """Return the index that lies in the folder, if there is a right one."""
        if not _is_regular(self.path):
            return None
        writable = os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)
        try:
            database = _open(f"{self.path.absolute().as_uri()}?mode={'rw' if writable else 'ro'}")
        except sqlite3.Error:
            return None
        try:
            right = _is_ours(database)
        except sqlite3.OperationalError:  # locked for long
            database.close()
            return None
        except sqlite3.Error:
            right = False
        if right:
            self._private = False
            return database
        database.close()
        self.forget()
        return None

    def _publish(self) -> None:
        """Go on in a file of the folder, if one can be made."""
        try:
            if os.path.lexists(self.path):
                return
            shared = _empty(self.path.absolute().as_uri() + "?mode=rwc")
        except sqlite3.Error:
            return
        before = self._connection()
        try:
            before.backup(shared)
        except sqlite3.Error:
            shared.close()
            return
        before.close()
        self._database, self._private = shared, False


def _empty(where: str) -> sqlite3.Connection:
    database = _open(where)
    database.execute("PRAGMA page_size = 16384")  # several bodies a page
    with database:
        for statement in _SCHEMA:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {_VERSION}")
    return database


def _open(where: str) -> sqlite3.Connection:
    # Whichever thread collects what is left of an index may close it.
    database = sqlite3.connect(where, uri=where.startswith("file:"), timeout=2, check_same_thread=False)
    database.execute("PRAGMA trusted_schema = OFF")
    # No waiting for the disk: an index that a power cut leaves half written is found out by its checksums.
    database.execute("PRAGMA synchronous = OFF")
    database.execute("PRAGMA journal_mode = MEMORY")
    return database


def _is_ours(database: sqlite3.Connection) -> bool:
    ((version,),) = database.execute("PRAGMA user_version")
    made = {sql for (sql,) in database.execute("SELECT sql FROM sqlite_master")}
    return bool(version == _VERSION and made == set(_SCHEMA))


def _row(number: int, head: IndexEntry, body: int) -> tuple[object, ...]:
    return (number, head.place, head.key, *head.stat, head.status, body, _seal(head, body))


def _seal(head: IndexEntry, body: object) -> int:
    return zlib.crc32(repr((*head, body)).encode(errors="backslashreplace"))


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
