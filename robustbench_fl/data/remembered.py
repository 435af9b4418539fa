"""Digests of files that were read once, remembered for as long as the files stay as they are.

What is remembered lies in the cache directory, a small file for each data file, and holds good only for a
file of the same size, times and inode. A memory that is not whole is forgotten: the file is read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from robustbench_fl.core.files import WriteError, atomic
from robustbench_fl.core.sealed import Damaged, read_sealed, sealed
from robustbench_fl.data.locations import cache_dir

_SETTLED_NS = 2_000_000_000
"""A file younger than this is not remembered: one more write may fall on the same tick of its clock."""
_KIND = "digest"
_in_process: dict[tuple[str, str], str] = {}


def stamp_of(root: Path, files: Iterable[Path]) -> str:
    """Return one digest of names (relative to `root`), sizes, times of change and inodes of some files."""
    whole = hashlib.sha256()
    for path in sorted(files):
        stat = path.stat()
        facts = f"{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ctime_ns}\0{stat.st_ino}\n"
        whole.update(name_within(path, root) + b"\0" + facts.encode())
    return whole.hexdigest()


def name_within(path: Path, root: Path) -> bytes:
    """Return the name of `path` relative to `root`, whatever bytes it consists of."""
    return path.relative_to(root).as_posix().encode(errors="surrogateescape")


def remembered(
    kind: str, root: Path, files: Iterable[Path], read: Callable[[], str], *, anew: bool = False
) -> str:
    """Return what `read` says of some files, without reading those that were read before and did not change.

    Parameters
    ----------
    kind : str
        What `read` finds out, such as ``"sha256"``.
    root : Path
        The folder that names are relative to; with one file, that file.
    files : iterable of Path
        What is read.
    read : callable
        Reads them all.
    anew : bool
        Whether they are read again whatever is remembered.
    """
    listed = sorted(files)
    stamp = stamp_of(root, listed)
    place = _place(kind, root, listed)
    if not anew and (known := _in_process.get((str(place), stamp)) or _recalled(place, stamp)):
        _in_process[str(place), stamp] = known
        return known
    found = read()
    youngest = max((max(s.st_mtime_ns, s.st_ctime_ns) for s in (p.stat() for p in listed)), default=0)
    if stamp == stamp_of(root, listed) and youngest + _SETTLED_NS < time.time_ns():
        _in_process[str(place), stamp] = found
        with contextlib.suppress(WriteError), atomic(place, sync=False) as file:
            file.write(sealed(_KIND, json.dumps([stamp, found]).encode()))
    return found


def _place(kind: str, root: Path, files: Iterable[Path]) -> Path:
    name = hashlib.sha256(f"{kind}\0".encode() + str(root.absolute()).encode(errors="surrogateescape"))
    for path in files:
        name.update(b"\0" + name_within(path, root))
    return cache_dir() / "checked" / f"{name.hexdigest()[:32]}.json"


def _recalled(place: Path, stamp: str) -> str | None:
    if not place.is_file():
        return None
    try:
        then, found = json.loads(read_sealed(place, _KIND))
    except Damaged as why:
        warnings.warn(
            f"{place.name} in the cache {why}. It is made anew: what it stands for is read again.",
            stacklevel=2,
        )
        return None
    return str(found) if then == stamp else None
