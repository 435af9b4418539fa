"""Arrays in a file of NumPy's ``savez``: nothing is unpickled, and nothing is larger than its header says."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from robustbench_fl.api import UsageError
from robustbench_fl.data.digests import open_data

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES = 8 * 2**30
"""Of one array, unpacked."""
_LONGEST_HEADER = 1 << 16
_READERS = {
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}


class BadArrays(Exception):
    """A file that is no archive of plain arrays."""


class Archive:
    """The arrays of one file.

    Parameters
    ----------
    file : zipfile.ZipFile
        Opened for reading.

    Attributes
    ----------
    names : list of str
        Of the arrays.
    """

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self._members = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
        self.names = list(self._members)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return an array; its header is compared with its length before room is made for it.

        Raises
        ------
        BadArrays
            If it holds Python objects, is too large, or is not as long as its header says.
        """
        info = self._members[name]
        with self._file.open(info) as member:
            shape, fortran, dtype = _header(name, member)
            size = dtype.itemsize
            for length in shape:
                size *= length
            if size > MOST_BYTES:
                raise BadArrays(
                    f"{name} of shape {shape} takes {size:,} bytes; at most {MOST_BYTES:,} are read"
                )
            if info.file_size - member.tell() != size:
                raise BadArrays(
                    f"{name} holds {info.file_size - member.tell():,} bytes; its header says {size:,}"
                )
            content = bytearray(size)
            if _filled(member, content) != size:
                raise BadArrays(f"{name} was cut short")
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _header(name: str, member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    if version not in _READERS:
        raise BadArrays(f"{name} is of the format {version}, which is not read")
    digits, read = _READERS[version]
    length = int.from_bytes(member.read(digits), "little")
    if length > _LONGEST_HEADER:
        raise BadArrays(f"{name} has a header of {length:,} bytes")
    member.seek(-digits, 1)
    try:
        shape, fortran, dtype = read(member)
    except Exception as error:  # Python's parser reads it, which fails in many ways
        raise BadArrays(f"{name} has a header that is none ({type(error).__name__})") from error
    if dtype.hasobject:
        raise BadArrays(f"{name} holds Python objects, which are not read; write it as numbers or texts")
    return shape, fortran, dtype


def _filled(member: IO[bytes], content: bytearray) -> int:
    """Read into `content` and return how many bytes there were."""
    view, done = memoryview(content), 0
    while done < len(content) and (piece := member.read(min(1 << 24, len(content) - done))):
        view[done : done + len(piece)] = piece
        done += len(piece)
    return done


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open a file of arrays.

    Raises
    ------
    BadArrays
        If it is none, or damaged.
    """
    try:
        with open_data(path) as raw, zipfile.ZipFile(raw) as file:
            yield Archive(file)
    except UsageError:  # whoever uses the arrays has already said what is wrong with them
        raise
    except zipfile.BadZipFile as error:
        raise BadArrays(f"it is no whole archive of arrays ({error}); write it with np.savez") from error
    except (ValueError, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise BadArrays(f"NumPy cannot read it ({type(error).__name__}: {error})") from error
