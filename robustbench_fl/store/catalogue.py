"""Which records a folder holds, and which of its files cannot be trusted; only what changed is read."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from pydantic_core import from_json, to_json

from robustbench_fl.core.files import read_regular
from robustbench_fl.core.intact import KEY
from robustbench_fl.core.places import own_folder
from robustbench_fl.store.codec import PACKED as PACK
from robustbench_fl.store.codec import unseal
from robustbench_fl.store.errors import Damaged, NewerSchema, StoreError, damaged
from robustbench_fl.store.index import COUNTED, LOOSE, PACKED, Index, IndexDamaged, IndexEntry, Stat
from robustbench_fl.store.lines import read_lines

INDEX = ".index.sqlite"
LARGE = 500
"""Cells from which on an index file is worth its place in the folder."""

LONG_PARTS = frozenset({"curves", "diagnostics", "image_counts", "traceback"})
"""What of a record only figures, intervals and `show` need."""

_SETTLED_NS = 50_000_000
"""A file younger than this is read again next time: one more write may fall on the same clock tick."""

LARGEST_RECORD = 64 << 20
"""Bytes of a cell's file beyond which it is no record."""


ReadNow: TypeAlias = dict[tuple[int, str], dict[str, Any]]
"""Whole records, by place and key."""


class Found(NamedTuple):
    """A record that counts: its row of the index, its place, its status."""

    number: int
    place: int
    status: str


class Catalogue:
    """The records of one folder.

    Parameters
    ----------
    folder : Path
        The sweep's folder.

    Attributes
    ----------
    heads : dict
        By key, the record that counts: a loose one wins over a packed one.
    problems : list of (str, str)
        Names of what cannot be trusted, and why.
    bad_lines : frozenset of str
        Those of the packed file, as ``"line N"``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        self.heads: dict[str, Found] = {}
        self.problems: list[tuple[str, str]] = []
        self.bad_lines: frozenset[str] = frozenset()
        self._seen: dict[str, int] = {}
        self._index = Index(folder / INDEX)

    def refresh(self, read: ReadNow | None = None) -> None:
        """Look at every file, and read those that changed since they were last read.

        Parameters
        ----------
        read : dict, optional
            Is given the whole records that had to be read, by place and key, so that nobody reads them again.

        Raises
        ------
        StoreError
            If the packed file is damaged, or a record is of a later schema.
        """
        for mend in (self._index.withdraw, self._index.forget):
            try:
                return self._refresh(read)
            except sqlite3.OperationalError:  # a busy disk, or, if it says so twice, text that is none
                mend()
            except (sqlite3.DatabaseError, IndexDamaged):
                self._index.forget()
        self._refresh(read)

    def forget(self) -> None:
        """Know nothing, so that the next refresh reads every file."""
        self._index.forget()

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def summary(self, key: str) -> dict[str, Any]:
        """Return the record of `key` without its :data:`LONG_PARTS`, as it was at the last refresh.

        Raises
        ------
        KeyError
            If there is none.
        """
        try:
            return _parsed(self._index.body(self.heads[key].number))
        except (sqlite3.DatabaseError, IndexDamaged):
            self._index.forget()
            self._refresh()
            return _parsed(self._index.body(self.heads[key].number))

    def _refresh(self, read: ReadNow | None = None) -> None:
        files, foreign = self._scan()
        pack = _stat_of(self.folder / PACK)
        stale = dict.fromkeys(files)
        gone: list[int] = []
        kept: list[tuple[int, IndexEntry]] = []
        of_pack: list[tuple[int, IndexEntry]] = []
        counted = -1
        for number, head in self._index.heads():
            if head.place != LOOSE and head.stat == pack:
                of_pack.append((number, head))
                counted = int(head.key) if head.place == COUNTED else counted
            elif head.place == LOOSE and head.key in stale and files[head.key] == head.stat:
                kept.append((number, head))
                del stale[head.key]
            else:
                gone.append(number)
        packed = len(of_pack)
        if packed - 1 != counted:  # a row of the index is gone
            gone += [number for number, _ in of_pack]
            of_pack, packed = [], 0
        kept += of_pack
        if gone or stale or (pack is not None and not packed):
            new = self._read_all(stale, None if packed else pack, read)
            kept += self._index.change(gone, new, keep=max(len(files), packed, _guess(pack)) >= LARGE)
            kept.sort(key=lambda row: (row[1].place, row[1].key))
        self._show(foreign, kept)
        self._seen = {key: hash(found) for key, found in files.items()}

    def _show(self, foreign: list[str], rows: Iterable[tuple[int, IndexEntry]]) -> None:
        problems = [(f"cells/{name}", "is not named after a cell") for name in foreign]
        self.heads, lines = {}, []
        for number, head in rows:
            if head.place == COUNTED:
                continue
            if head.status is None:
                name = f"cells/{head.key}.json"
                if head.place == PACKED:
                    line, _, again = head.key.partition(", again ")
                    name = f"{line} of {PACK}"
                    lines.append(line)
                    if again in self.heads and self.heads[again].place == PACKED:
                        del self.heads[again]  # which of the two is right?
                problems.append((name, self._index.body(number).decode(errors="replace")))
            elif head.key not in self.heads:
                self.heads[head.key] = Found(number, head.place, sys.intern(head.status))
        self.problems, self.bad_lines = problems, frozenset(lines)

    def is_changed(self, key: str) -> bool:
        """Whether the file of `key` is another than at the last refresh, or :meth:`note` since."""
        return self._found(key) != self._seen.get(key)

    def note(self, key: str) -> None:
        """Take the file of `key` as it is now for known: this process wrote it."""
        if (found := self._found(key)) is not None:
            self._seen[key] = found

    def _found(self, key: str) -> int | None:
        try:
            return hash(Stat.of((self.cells / f"{key}.json").lstat()))
        except OSError:
            return None

    def _scan(self) -> tuple[dict[str, Stat], list[str]]:
        """Return the files of ``cells/`` by key, and the names of those that are none."""
        own_folder(self.cells)
        files, foreign = {}, []
        try:
            with os.scandir(self.cells) as entries:
                for entry in entries:
                    if not entry.name.endswith(".json") or entry.name.startswith("."):
                        continue
                    if is_key(key := entry.name[:-5]):
                        with contextlib.suppress(FileNotFoundError):  # set aside or packed meanwhile
                            files[key] = Stat.of(entry.stat(follow_symlinks=False))
                    else:
                        foreign.append(printable(entry.name))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreError(f"Cannot read {str(self.cells)!r}: {error.strerror or error}.") from None
        return files, sorted(foreign)

    def _read_all(
        self, keys: Iterable[str], pack: Stat | None, read: ReadNow | None
    ) -> Iterator[tuple[IndexEntry, bytes]]:
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                yield self._read(key, read)
        if pack is not None:
            yield from self._read_pack(pack, read)

    def _read(self, key: str, read: ReadNow | None) -> tuple[IndexEntry, bytes]:
        path = f"{self.cells}/{key}.json"
        found = None
        try:
            raw, found = read_file(path)
            record = unseal(raw, key)
        except NewerSchema as error:
            raise StoreError(f"cells/{key}.json: {error}") from None
        except Damaged as error:
            found = found or Stat.of(os.lstat(path))
            return IndexEntry(LOOSE, key, found, None), str(error).encode()
        if read is not None:
            read[LOOSE, key] = record
        return IndexEntry(LOOSE, key, found, record["status"]), _brief(record)

    def _read_pack(self, pack: Stat, read: ReadNow | None) -> Iterator[tuple[IndexEntry, bytes]]:
        seen: dict[str, int] = {}
        count = 0
        for number, line in enumerate(pack_lines(self.folder), 1):
            bad, key, why = f"line {number}", "", ""
            try:
                record = unseal(line)
                key = record["key"]
                first = key not in seen
                if seen.setdefault(key, hash(line)) != hash(line):
                    bad, why = f"{bad}, again {key}", f"holds another record of {key} than a line before"
            except NewerSchema as error:
                raise StoreError(f"{PACK}, line {number}: {error}") from None
            except Damaged as error:
                why = str(error)
            if why:
                yield IndexEntry(PACKED, bad, pack, None), why.encode()
            elif first:
                if read is not None:
                    read[PACKED, key] = record
                yield IndexEntry(PACKED, key, pack, record["status"]), _brief(record)
            else:
                continue
            count += 1
        yield IndexEntry(COUNTED, str(count), pack, None), b""


def pack_lines(folder: Path) -> Iterator[bytes]:
    """Yield the lines of a folder's packed file.

    Raises
    ------
    StoreError
        If it is damaged as a whole, or there is none.
    """
    try:
        yield from read_lines(folder / PACK, "pack")
    except FileNotFoundError:
        raise damaged(folder / PACK, "is gone") from None
    except Damaged as why:
        raise damaged(folder / PACK, why) from None


def read_file(path: Path | str) -> tuple[bytes, Stat]:
    """Return the content of the ordinary file `path` and what it is known by.

    Raises
    ------
    FileNotFoundError
        If there is none.
    Damaged
        If it cannot be read, or is a link, a pipe, a folder …
    """
    try:
        raw, found = read_regular(path, LARGEST_RECORD)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"cannot be read: {_why(path, error)}") from None
    return raw, _settled(found)


def fingerprint(folder: Path, plan: Path) -> str:
    """Return a digest that changes whenever the plan, the sweep or the file of a record in `folder` does."""
    found = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(folder / "cells") as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                found[entry.name] = Stat.of(entry.stat(follow_symlinks=False))
    with contextlib.suppress(FileNotFoundError):
        found[f"/{PACK}"] = Stat.of((folder / PACK).lstat())
    digest = hashlib.sha256(repr(sorted(found.items())).encode())
    for path in (plan, folder / "sweep.toml"):  # by content: every run writes the same ones anew
        with contextlib.suppress(FileNotFoundError):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def printable(name: str) -> str:
    """Return a file's name as text that can be printed and stored."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def is_key(text: str) -> bool:
    """Whether `text` looks like a cell's key, and is safe in a path."""
    return KEY.fullmatch(text) is not None


def _settled(found: os.stat_result) -> Stat:
    known = Stat.of(found)
    young = abs(time.time_ns() - known.ctime) < _SETTLED_NS
    return known._replace(ctime=-1) if young else known


def _stat_of(path: Path) -> Stat | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return _settled(found) if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode) else None


def _guess(pack: Stat | None) -> int:
    """Return how many records a packed file of this size holds at least."""
    return pack.size // 4000 if pack else 0


def _why(path: Path | str, error: OSError) -> str:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return error.strerror or str(error)
    if stat.S_ISLNK(mode):
        return "it is a link"
    return (error.strerror or "") if stat.S_ISREG(mode) and error.strerror else "it is no ordinary file"


def _brief(record: dict[str, Any]) -> bytes:
    return to_json({name: value for name, value in record.items() if name not in LONG_PARTS})


def _parsed(body: bytes) -> dict[str, Any]:
    record: dict[str, Any] = from_json(body, cache_strings="keys")
    return record
