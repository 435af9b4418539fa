"""Answers that need no simulation, kept in the user's cache directory so that the next one is quick.

Derived, never the truth. An answer is found again only under the digest of what it was asked, of all the
package's code, of the versions it runs on, and of what it was made from; with any of these changed it is
made anew, and so it is where its file is not as it was written.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import platform
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from robustbench_fl.core.files import WriteError, read_regular
from robustbench_fl.core.provenance import SIMULATION, digest_of_sources
from robustbench_fl.core.sealed import Damaged, read_sealed, write_sealed
from robustbench_fl.core.version import __version__

UNTRUSTED = "robustbench_fl.untrusted"
"""Set in a command's context if its folder holds records that cannot be trusted: it exits with 1."""
_CODE = (*SIMULATION, "analysis", "cli", "report", "store")
_KIND = "answer"
_MOST = 200
"""Answers that are kept; of more, the oldest go."""


def remembered(asked: list[str], make: Callable[[], Any]) -> Any:
    """Return ``make()``, or what it gave when the same was asked of the same code.

    Parameters
    ----------
    asked : list of str
        All that the answer depends on besides this package.
    make : callable
        Makes the answer: plain data, as JSON holds it.
    """
    path = _path(asked)
    with suppress(OSError, Damaged):
        kept = json.loads(read_sealed(path, _KIND))
        with suppress(OSError):
            os.utime(path)  # what is asked again is not the oldest
        return kept
    answer = make()
    body = json.dumps(answer, allow_nan=False).encode()
    with suppress(OSError, WriteError):
        write_sealed(path, _KIND, body)
        _forget_oldest(path.parent)
    return answer


def of_folders(folders: tuple[Path, ...], make: Callable[[], Any], *shown: object) -> Any:
    """Return what a command says of stored cells, or the same that it said before.

    Parameters
    ----------
    folders : tuple of Path
        The sweeps' folders.
    make : callable
        Makes the answer, plain data. What it warns of is said every time: such an answer is not kept.
    *shown : object
        What else decides it, such as the terminal's width.
    """
    from robustbench_fl.store.catalogue import fingerprint
    from robustbench_fl.store.plan_file import PLAN

    context = click.get_current_context()
    try:
        found = [fingerprint(folder, folder / PLAN) for folder in folders if not _has_plugins(folder)]
    except (OSError, ValueError, RecursionError):
        found = []
    if len(found) < len(folders):
        with _nothing_collected():
            return make()
    params = sorted((name, str(value)) for name, value in context.params.items())
    asked = [str(context.info_name), repr(params), *found, *map(repr, shown)]

    def made() -> Any:
        with warnings.catch_warnings(record=True) as said, _nothing_collected():
            warnings.simplefilter("always")
            answer = make()
        for one in {str(one.message): one for one in said}.values():  # the folder may be read twice
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        if said or context.meta.get(UNTRUSTED):
            raise _NotKept(answer)
        return answer

    try:
        return remembered(asked, made)
    except _NotKept as found:
        return found.args[0]


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Look for no garbage meanwhile: what is read stays, and looking through it takes half as long again."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.freeze()  # not looked through right now either, but whenever everything is
            gc.enable()
            gc.collect(0)
            gc.unfreeze()


class _NotKept(Exception):
    """Carries an answer that is to be made anew the next time."""


def _has_plugins(folder: Path) -> bool:
    """Whether what is stored may mean something else though no file of the folder changed."""
    return bool(tomllib.loads(read_regular(folder / "sweep.toml")[0].decode()).get("plugins"))


def _path(asked: list[str]) -> Path:
    from robustbench_fl.data.locations import cache_dir

    runs_on = [
        platform.python_version(),
        *map(_version, ("numpy", "pandas", "scipy", "torch", "torchvision")),
    ]
    known = [__version__, digest_of_sources(*_CODE), *runs_on, *asked]
    return cache_dir() / "answers" / hashlib.sha256(json.dumps(known).encode()).hexdigest()[:32]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _forget_oldest(folder: Path) -> None:
    found = sorted(folder.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime)
    for path in found[:-_MOST]:
        path.unlink(missing_ok=True)
