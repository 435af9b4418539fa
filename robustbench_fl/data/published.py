"""What is published of the files of data sets, and whether what lies here is that."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from robustbench_fl.data.digests import Algorithm, file_digest
from robustbench_fl.data.remembered import remembered

_NAMES = {"sha256": "SHA-256", "md5": "MD5"}
_PIECE = 1 << 20


@dataclass(frozen=True)
class Packed:
    """A member of an archive, of which alone a digest is published: counts where the archive is still there.

    Parameters
    ----------
    archive : str
        A zip file, relative to the data directory.
    md5 : str
        As published of it.
    member : str
        The name within it of the file, which is compressed with gzip once more.
    """

    archive: str
    md5: str
    member: str

    def digest(self, data_dir: Path, most: int) -> str | None:
        """Return the SHA-256 of the unpacked member, ``None`` where the archive is not there or not whole.

        Parameters
        ----------
        data_dir : Path
            The data directory.
        most : int
            Bytes that are unpacked at most.
        """
        path = data_dir / self.archive
        if not path.is_file() or file_digest(path, "md5") != self.md5:
            return None
        return remembered(f"unpacked {self.member}", path, [path], lambda: self._read(path, most)) or None

    def _read(self, path: Path, most: int) -> str:
        whole, left = hashlib.sha256(), most
        with contextlib.suppress(OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
            with (
                zipfile.ZipFile(path) as archive,
                archive.open(self.member) as outer,
                gzip.open(outer) as inner,
            ):
                while left >= 0 and (piece := inner.read(_PIECE)):
                    whole.update(piece)
                    left -= len(piece)
            return whole.hexdigest()
        return ""


@dataclass(frozen=True)
class Known:
    """A file that a data set consists of, and what is published of it.

    Parameters
    ----------
    path : str
        Relative to the data directory.
    size : int, optional
        In bytes.
    sha256, md5 : str, optional
        Of the file as it is read, not of an archive that it came in.
    packed : Packed, optional
        The archive that it came in.
    """

    path: str
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    packed: Packed | None = None

    def wanted(self, data_dir: Path) -> tuple[Algorithm, str] | None:
        """Return the digest that is published of the file, ``None`` if there is none."""
        if self.sha256:
            return "sha256", self.sha256
        if self.md5:
            return "md5", self.md5
        if self.packed and self.size and (digest := self.packed.digest(data_dir, self.size)):
            return "sha256", digest
        return None

    def fault(self, data_dir: Path, *, anew: bool = False) -> str | None:
        """Return what is wrong with the file, which is there, or ``None``.

        Its size is compared, then its digest, for which it is read if it has changed since it last was.

        Parameters
        ----------
        data_dir : Path
            The data directory.
        anew : bool
            Whether it is read again whatever is remembered of it.
        """
        path = data_dir / self.path
        found = path.stat().st_size
        if self.size is not None and found != self.size:
            return f"it has {found} bytes, not {self.size}"
        if (wanted := self.wanted(data_dir)) is None:
            return None
        algorithm, digest = wanted
        try:
            present = file_digest(path, algorithm, anew=anew)
        except OSError as error:
            return f"it cannot be read ({error.strerror or error})"
        return None if present == digest else f"its {_NAMES[algorithm]} is {present}, not {digest}"
