"""The end of a sweep: tables and figures, the leaderboard, what failed, the exit code.

Tables of many cells take a lot of memory, so they are made in a process of their own; and time, so they
are only made when something changed since they were written.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from robustbench_fl.cli.saying import say
from robustbench_fl.core.counted import counted
from robustbench_fl.core.foreign import command
from robustbench_fl.core.status import FAILURES, FINAL

if TYPE_CHECKING:
    from robustbench_fl.store import Store

_STAMP = ".tables.json"
_KIND = "tables"
_MADE_BY = ("analysis", "report", "store", "core", "cli")
_SHOWN = 5


def finish(store: Store, chosen: Iterable[str]) -> int:
    """Write the tables, print the leaderboard, and return the exit code.

    Parameters
    ----------
    store : Store
        The sweep's folder.
    chosen : iterable of str
        Keys of the cells that were asked for: the exit code is about them.

    Returns
    -------
    int
        1 if one of them has no result, or all of them are infeasible, else 0.
    """
    from robustbench_fl.cli.output import shows_colour
    from robustbench_fl.sweep.runner.processes import MethodProcess

    statuses = store.statuses()
    bold = shows_colour()
    state = _state(store, bold)
    text = _written(store.folder, state)
    if text is None:
        with MethodProcess() as methods:
            text = methods.call(write_tables, store.folder, state, bold=bold)
    say(text, styled=True)
    say(f"\nTables, matrices and figures: {store.folder}")
    say(f"One page of it all: {command('robustbench-fl', 'report', store.folder)}")
    ours = list(chosen)
    if ours and all(statuses.get(key) == "infeasible" for key in ours):
        say("Every cell is infeasible. `plan` with the same words says why.", err=True)
        return 1
    tell_failures(store, [key for key in ours if statuses.get(key) in FAILURES], len(ours))
    return int(any(statuses.get(key) not in FINAL for key in ours))


def write_tables(folder: Path, state: str, *, bold: bool) -> str:
    """Write the tables and figures of a folder, and return its leaderboard for the terminal.

    Parameters
    ----------
    folder : Path
        The sweep's folder.
    state : str
        What :func:`finish` found there; kept beside the tables.
    bold : bool
        Whether the terminal shows bold type.
    """
    from robustbench_fl.cli.tabling import leaderboard_text
    from robustbench_fl.core.sealed import write_sealed
    from robustbench_fl.report.write import write_reports
    from robustbench_fl.store import Store

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged files have been named already
        records = Store(folder).records()
    files = write_reports(records, folder)
    text = leaderboard_text(records, bold=bold)
    names = [str(path.relative_to(folder)) for path in files]
    made = {name: _digest(folder, name) for name in names}
    stamp = {"state": state, "files": made, "leaderboard": text}
    write_sealed(folder / _STAMP, _KIND, json.dumps(stamp).encode())
    return text


def _state(store: Store, bold: bool) -> str:
    """Return a digest of all that the tables are made from: records, plan, and the code itself."""
    from robustbench_fl.core.provenance import digest_of_sources

    parts = f"{store.fingerprint()} {digest_of_sources(*_MADE_BY)} {bold}"
    return hashlib.sha256(parts.encode()).hexdigest()


def _written(folder: Path, state: str) -> str | None:
    """Return the leaderboard written before, if it and all files beside it are what would be written now."""
    from robustbench_fl.core.sealed import Damaged, read_sealed

    try:
        stamp = json.loads(read_sealed(folder / _STAMP, _KIND))
        same = stamp["state"] == state and all(
            _digest(folder, name) == digest for name, digest in stamp["files"].items()
        )
    except FileNotFoundError:
        return None
    except Damaged as why:
        warnings.warn(f"{_STAMP} {why}. The tables are made anew.", stacklevel=2)
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return str(stamp["leaderboard"]) if same else None


def _digest(folder: Path, name: str) -> str:
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts or path.is_symlink():
        raise ValueError(f"{name} is not in the folder")  # the note may be anybody's
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tell_failures(store: Store, failed: list[str], cells: int) -> None:
    """Say on standard error which of `cells` cells failed, and what to do about it."""
    for key in failed[:_SHOWN]:
        if record := store.summary(key):
            labels = record["labels"]
            what = f"{labels['aggregator']} under {labels['attack']}"
            say(f"{record['status']}: {key}  {what}: {record['reason']}", err=True)
    if failed:
        say(
            f"{len(failed)} of {counted(cells, 'cell')} failed. "
            f"See one with {command('robustbench-fl', 'show', 'KEY', store.folder)}. Its output is in "
            f"{store.folder / 'logs'}. Run them again with --retry-failed.",
            err=True,
        )
