"""Files of many sealed lines: the plan, and packed records. Readable by anything that reads gzip.

::

    a note      kind of file, and a text that belongs to it       } gzip members
    members     about a megabyte of lines each, whole by itself   } one after
    a note      how many lines there were, and their digest       } the other

Notes lie in headers of empty members, so that other programs see lines alone. Damage to a member leaves the
others readable (:func:`salvaged`). What ends without the last note was cut short. Files of older versions
are one member without notes: nothing but gzip's own checksum tells that they are whole.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from robustbench_fl.core.files import atomic, read_regular
from robustbench_fl.core.sealed import Damaged

LONGEST = 64 << 20
"""Bytes of a line, and of a note, beyond which a file is not what this program wrote."""

_MEMBER = 1 << 20
_GZIP = b"\x1f\x8b\x08"
_NOTE = b"\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\xff"
_NO_LINES = b"\x03\x00" + bytes(8)
_HEAD = len(_NOTE) + 6
_PART = 1 << 16
_OWN_CHECKSUM = 45
"""Bytes at a sealed line's beginning that hold its checksum."""


@dataclass
class Note:
    """What a file says of itself.

    Parameters
    ----------
    kind : str
        Empty in files of older versions.
    text : str
        What belongs to it.
    """

    kind: str = ""
    text: str = ""


def write_lines(path: Path, lines: Iterable[bytes], kind: str, text: str = "") -> int:
    """Write a compressed file of `lines`, whole or not at all, and return their number.

    The same lines give the same bytes.

    Parameters
    ----------
    path : Path
        Where to.
    lines : iterable of bytes
        Sealed lines, without their ends.
    kind : str
        What it is, one word.
    text : str
        What belongs to it; left out if it is longer than 60,000 bytes.
    """
    first = f"{kind}\n{text if len(text.encode()) < 60_000 else ''}".encode()
    count, digest = 0, hashlib.sha256(first)
    pending: list[bytes] = []
    size = 0
    with atomic(path) as file:
        file.write(_noted(first))
        for line in lines:
            pending.append(line + b"\n")
            digest.update(line[:_OWN_CHECKSUM])
            count, size = count + 1, size + len(line)
            if size > _MEMBER:
                file.write(gzip.compress(b"".join(pending), mtime=0))
                pending, size = [], 0
        if pending:
            file.write(gzip.compress(b"".join(pending), mtime=0))
        file.write(_noted(f"end\n{count}\n{digest.hexdigest()}".encode()))
    return count


def read_lines(path: Path, kind: str, note: Note | None = None) -> Iterator[bytes]:
    """Yield the lines of a file, without their ends; those of a member after all of it was found whole.

    Parameters
    ----------
    path : Path
        An ordinary file.
    kind : str
        What it must be.
    note : Note, optional
        Is told what the file says of itself, before the first line.

    Raises
    ------
    FileNotFoundError
        If there is none.
    Damaged
        If it is not as it was written; at the latest after its last line.
    """
    raw = _content(path)
    begun = ended = False
    count, digest = 0, hashlib.sha256()
    place = 0
    while place < len(raw):
        if ended:
            raise Damaged("goes on after its end")
        if (found := _note_at(raw, place)) is not None:
            words = found.split(b"\n", 1 if not begun else 2)
            if not begun and place == 0:
                if words[0] != kind.encode():
                    raise Damaged(f"is no {kind}")
                begun = True
                digest.update(found)
                if note is not None:
                    note.kind, note.text = kind, found.partition(b"\n")[2].decode(errors="replace")
            elif words != [b"end", b"%d" % count, digest.hexdigest().encode()]:
                raise Damaged(f"does not hold the lines that were written: {count} were read")
            else:
                ended = True
            place += _HEAD + len(found) + len(_NO_LINES)
            continue
        if place and not begun:
            raise Damaged("goes on after its end")
        lines, place = _member(raw, place)
        for line in lines:
            digest.update(line[:_OWN_CHECKSUM])
            count += 1
            yield line
    if begun and not ended:
        raise Damaged(f"was cut short: it ends after {count} lines")


def salvaged(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield all lines that can still be decompressed, and whether gzip's checksum held; none need be whole.

    Raises
    ------
    FileNotFoundError, Damaged
        If there is no file, or it cannot be read at all.
    """
    raw = _content(path)
    place = 0
    while 0 <= place < len(raw):
        if (found := _note_at(raw, place)) is not None:
            place += _HEAD + len(found) + len(_NO_LINES)
            continue
        member = zlib.decompressobj(31)
        parts, fed = [], place
        with contextlib.suppress(zlib.error):
            while fed < len(raw) and not member.eof:
                parts.append(member.decompress(raw[fed : fed + 64], LONGEST))
                fed += 64
        yield from ((line, member.eof) for line in b"".join(parts).split(b"\n"))
        after = fed - len(member.unused_data) if member.eof else place + 1
        place = raw.find(_GZIP, after)


def note_of(path: Path) -> Note:
    """Return what a file says of itself, as far as it can be read, whether or not the rest is whole."""
    try:
        found = _note_at(_content(path), 0)
    except (FileNotFoundError, Damaged):
        found = None
    kind, _, text = (found or b"").decode(errors="replace").partition("\n")
    return Note(kind, text)


def _content(path: Path) -> bytes:
    try:
        raw, _ = read_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(error.strerror or str(error)) from None
    if not raw:
        raise Damaged("is empty")
    return raw


def _noted(note: bytes) -> bytes:
    """Return an empty gzip member whose header holds `note`."""
    return _NOTE + struct.pack("<H2sH", len(note) + 4, b"rb", len(note)) + note + _NO_LINES


def _note_at(raw: bytes, place: int) -> bytes | None:
    """Return the note that begins at `place`, if one does."""
    if not raw.startswith(_NOTE, place) or len(raw) < place + _HEAD:
        return None
    extra, name, length = struct.unpack_from("<H2sH", raw, place + len(_NOTE))
    end = place + _HEAD + length
    if name != b"rb" or extra != length + 4 or raw[end : end + len(_NO_LINES)] != _NO_LINES:
        return None
    return raw[place + _HEAD : end]


def _member(raw: bytes, place: int) -> tuple[list[bytes], int]:
    """Return the lines of the member that begins at `place`, checked against gzip's checksum, and its end."""
    member = zlib.decompressobj(31)
    parts, length = [], 0
    try:
        while not member.eof:
            if place >= len(raw):
                raise Damaged("was cut short")
            chunk = raw[place : place + _PART]
            place += len(chunk)
            while chunk and not member.eof:
                text = member.decompress(chunk, LONGEST)
                chunk = member.unconsumed_tail
                length = len(text) - end - 1 if (end := text.rfind(b"\n")) >= 0 else length + len(text)
                if length > LONGEST:
                    raise Damaged(f"holds a line of more than {LONGEST >> 20} MB")
                parts.append(text)
    except zlib.error as error:
        raise Damaged(f"cannot be decompressed: {error}") from None
    lines = b"".join(parts).split(b"\n")
    return lines[:-1] if not lines[-1] else lines, place - len(member.unused_data)
