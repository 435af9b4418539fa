"""The sealed form of a file that is read back: one line that says kind, length and checksum of the rest.

::

    # robustbench-fl sealed: <kind> <bytes> <SHA-256>
    <content>

The line is a comment to TOML, so a sealed text can still be read by others. A seal shows damage, not
forgery: whoever may write the file may seal it anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from robustbench_fl.core.files import read_regular, write_atomically

_MARK = b"# robustbench-fl sealed: "
_LONGEST_LINE = 200


class Damaged(Exception):
    """What was read cannot be trusted; the message completes "the file …"."""


def sealed(kind: str, content: bytes) -> bytes:
    """Return the sealed form of `content`.

    Parameters
    ----------
    kind : str
        What it is, one word; another kind of file in its place is found out.
    content : bytes
        May be empty.
    """
    return b"%s%s %d %s\n%s" % (_MARK, kind.encode(), len(content), _digest(content), content)


def is_sealed(raw: bytes) -> bool:
    """Whether `raw` begins as a sealed file does; files of older versions do not."""
    return raw.startswith(_MARK)


def unsealed(kind: str, raw: bytes) -> bytes:
    """Return the content of the sealed file `raw`.

    Raises
    ------
    Damaged
        If it is empty, of another kind, or not as it was written.

    Examples
    --------
    >>> unsealed("note", sealed("note", b"text"))
    b'text'
    """
    if not raw:
        raise Damaged("is empty")
    line, _, content = raw[:_LONGEST_LINE].partition(b"\n")
    words = line.removeprefix(_MARK).split(b" ")
    if not is_sealed(raw) or len(words) != 3:
        raise Damaged("does not begin with its checksum")
    if words[0] != kind.encode():
        raise Damaged(f"is no {kind}")
    content = raw[len(line) + 1 :]
    if words[1] != b"%d" % len(content):
        raise Damaged("was cut short or grew after it was written")
    if words[2] != _digest(content):
        raise Damaged("was changed after it was written: its checksum does not fit")
    return content


def write_sealed(path: Path, kind: str, content: bytes) -> None:
    """Write a sealed file, whole or not at all.

    Raises
    ------
    WriteError
        As :func:`~robustbench_fl.core.files.write_atomically`.
    """
    write_atomically(path, sealed(kind, content))


def read_sealed(path: Path, kind: str) -> bytes:
    """Return the content of a sealed file; a link is not followed.

    Raises
    ------
    FileNotFoundError
        If there is none.
    Damaged
        If it cannot be read, or not be trusted.
    """
    try:
        raw, _ = read_regular(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"cannot be read: {error.strerror or error}") from None
    return unsealed(kind, raw)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
