"""Results of other code: cells of plug-in methods that have been edited since they were run.

A cell's identity holds the digest of the code of each plug-in method. A planned cell is stale if the folder
holds only results of the same cell with other code, or if the plug-in's file, where it is known, says
something else by now. The file is read, never run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustbench_fl.core.code import code_in, digest_of_code, registered_in, without_code
from robustbench_fl.core.files import read_regular, write_atomically
from robustbench_fl.core.places import inside, own_folder
from robustbench_fl.core.sealed import Damaged
from robustbench_fl.core.status import KEPT, MISSING, STALE
from robustbench_fl.store.errors import StoreError
from robustbench_fl.store.plan_file import SWEEP, sweep_table

PLUGINS = "plugins"
"""Key of ``sweep.toml`` that names the plug-in files, and the folder into which packing puts them."""


@dataclass(frozen=True)
class Stale:
    """A planned cell that has a result of other code only.

    Parameters
    ----------
    changed : tuple of str
        Methods whose code is another.
    key : str
        Of the stored result.
    methods : mapping
        What the stored result says of its methods.
    """

    changed: tuple[str, ...]
    key: str
    methods: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def reason(self) -> str:
        """What happened, in words."""
        return f"{', '.join(self.changed)} changed"


def by_all_but_code(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return records of plug-in methods by their identity without code; of several, the last one counts."""
    return {without_code(record["cell"]): record for record in records if code_in(record["cell"])}


def stale_by(identity: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> Stale | None:
    """Return what other code made of a cell that has no result, if there is such a thing in `results`."""
    if (record := results.get(without_code(identity))) is None:
        return None
    then = record["cell"]
    methods = {axis: then[axis] for axis in record["labels"]}
    return Stale(changed_in(identity, code_in(then)), record["key"], methods)


def changed_in(identity: Mapping[str, Any], other: Mapping[str, str]) -> tuple[str, ...]:
    """Return the methods of a cell whose digest of code is another in `other`, by name."""
    return tuple(name for name, code in code_in(identity).items() if other.get(name, code) != code)


def code_now(folder: Path, plugins: Sequence[str]) -> dict[str, str]:
    """Return the digests of the methods in plug-in files, by name, as the files are now.

    Parameters
    ----------
    folder : Path
        The sweep's folder, which holds packed plug-ins.
    plugins : sequence of str
        Files as ``sweep.toml`` names them: below the working directory, or packed by name. Those that are
        not there are left out, and so are methods that are not registered by name.
    """
    digests: dict[str, str] = {}
    for path in filter(None, (_place(folder, name) for name in plugins)):
        with contextlib.suppress(OSError, SyntaxError, ValueError):
            digests |= {name: digest_of_code(path, own) for name, own in registered_in(path).items()}
    return digests


def _place(folder: Path, name: str) -> Path | None:
    """Return where a plug-in lies that ``sweep.toml`` names, if it is there."""
    places = (Path(name), folder / PLUGINS / Path(name).name)
    return next((path for path in places if path.is_file()), None)


class CodeOfPlugins:
    """What the code of plug-ins means for the cells of one folder.

    Parameters
    ----------
    folder : Path
        The sweep's folder.
    planned, finished : callable
        Return its planned cells and the summaries of its finished ones, planned or not.
    """

    def __init__(
        self,
        folder: Path,
        planned: Callable[[], Iterator[dict[str, Any]]],
        finished: Callable[[], Iterator[dict[str, Any]]],
    ) -> None:
        self._folder = folder
        self._planned = planned
        self._finished = finished

    def stale(self, planned: Mapping[str, Mapping[str, Any]]) -> dict[str, Stale]:
        """Return those of the `planned` identities without a result that have one of other code, by key."""
        of_plugins = {key: cell for key, cell in planned.items() if code_in(cell)}
        others = self._others() if of_plugins else {}
        found = {key: stale_by(cell, others) for key, cell in of_plugins.items()}
        return {key: stale for key, stale in found.items() if stale}

    def rows(self, result: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Iterator[dict[str, Any]]:
        """Yield what is stored of each planned cell; `result` returns it, if there is one.

        Of a cell whose plug-in has been edited since, nothing counts: it is ``stale``.
        """
        now: dict[str, str] | None = None
        others: dict[str, dict[str, Any]] | None = None
        for row in self._planned():
            record = result(row)
            changed: tuple[str, ...] = ()
            if code_in(row["cell"]) and "kept_of" not in row:
                now = code_now(self._folder, self._names()) if now is None else now
                changed = changed_in(row["cell"], now)
                if record is None and not changed:
                    others = self._others() if others is None else others
                    found = stale_by(row["cell"], others)
                    changed = found.changed if found else ()
            if changed:
                yield {**row, "status": STALE, "reason": f"{', '.join(changed)} changed"}
            elif record is None:
                yield {**row, "status": MISSING}
            else:
                facts = {**row["facts"], **record["facts"]}  # some came after the record was written
                kept = row.get("kept_of")
                why = {"reason": f"{KEPT}: {', '.join(kept)} changed"} if kept else {}
                rows = {"stands_for": row["stands_for"]} if "stands_for" in row else {}
                yield {**record, "facts": facts, **rows, **why}

    def pack(self) -> dict[str, Path | None]:
        """Copy the plug-ins that ``sweep.toml`` names into the folder; return where each went.

        A file of other code than the plan's is left out.
        """
        own_folder(self._folder / PLUGINS)
        planned: dict[str, str] = {}
        for row in self._planned():
            planned |= code_in(row["cell"])
        packed: dict[str, Path | None] = {}
        for name in self._names():
            now = code_now(self._folder, [name])
            same = now and all(planned.get(method, code) == code for method, code in now.items())
            path, to = _place(self._folder, name), inside(self._folder, f"{PLUGINS}/{Path(name).name}")
            if same and path:
                write_atomically(to, path.read_bytes())
            packed[name] = to if same and path else None
        return packed

    def _others(self) -> dict[str, dict[str, Any]]:
        """Return finished cells of plug-ins by all but their code; of several, one of the last plan."""
        last: set[str] = set()
        with contextlib.suppress(StoreError):  # a damaged plan, which is about to be made anew
            last = {row["key"] for row in self._planned()}
        return by_all_but_code(sorted(self._finished(), key=lambda record: record["key"] in last))

    def _names(self) -> list[str]:
        """Return the plug-in files that ``sweep.toml`` names."""
        try:
            named = sweep_table(read_regular(self._folder / SWEEP)[0]).get(PLUGINS, [])
        except (OSError, Damaged):
            return []
        return [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
