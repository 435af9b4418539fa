"""What this program wrote into a folder, by name and digest: nothing else of it is ever removed.

The digests are kept in a sealed note. In a folder without one, of an older version, nothing is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path

from robustbench_fl.core.files import read_regular, write_atomically
from robustbench_fl.core.places import inside
from robustbench_fl.core.sealed import Damaged, read_sealed, write_sealed

NOTE = ".written.json"
_KIND = "written"


class Written:
    """The derived files of one folder.

    Parameters
    ----------
    folder : Path
        A sweep's folder, or where a user wants tables.

    Raises
    ------
    PlaceError
        From all methods, if a name, or a link inside the folder, would lead out of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known = _noted(folder)
        self._digests = dict(self._known or {})

    def write(self, name: str, content: bytes) -> Path:
        """Write the file `name`. What lies there and is not ours is kept under another name, and said.

        In a folder without a note nobody can say whose a file is: there it is replaced.
        """
        path = inside(self.folder, name)
        if self._known is not None and not self._is_ours(name) and _content(path) not in (None, content):
            names = (path.with_name(f"{path.name}.kept-{number}") for number in count(1))
            aside = next(name for name in names if not os.path.lexists(name))
            path.rename(aside)
            warnings.warn(
                f"{name} in {str(self.folder)!r} is not what was written there. It is kept as {aside.name}.",
                stacklevel=2,
            )
        write_atomically(path, content)
        self._digests[name] = _digest(content)
        return path

    def remove_others(self, patterns: Iterable[str], kept: Collection[str]) -> None:
        """Remove files of such names that were written before, are unchanged since, and are not `kept`."""
        patterns = list(patterns)
        for name in sorted(self._digests):
            if name in kept or not any(fnmatchcase(name, pattern) for pattern in patterns):
                continue
            if self._is_ours(name):
                inside(self.folder, name).unlink(missing_ok=True)
            del self._digests[name]

    def save(self) -> None:
        """Write the note."""
        if self._digests != self._known:
            write_sealed(self.folder / NOTE, _KIND, json.dumps(self._digests, sort_keys=True).encode())

    def _is_ours(self, name: str) -> bool:
        content = _content(inside(self.folder, name))
        return content is not None and _digest(content) == self._digests.get(name)


def _noted(folder: Path) -> dict[str, str] | None:
    """Return the digests in a folder's note, ``None`` without a note that can be trusted."""
    try:
        found = json.loads(read_sealed(folder / NOTE, _KIND))
        return {str(name): str(digest) for name, digest in found.items()}
    except FileNotFoundError:
        return None
    except Damaged as why:
        warnings.warn(f"{NOTE} in {str(folder)!r} {why}. It is made anew; no file is removed.", stacklevel=2)
        return None
    except (ValueError, AttributeError, RecursionError):
        return None


def _content(path: Path) -> bytes | None:
    try:
        return read_regular(path)[0]
    except OSError:
        return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
