"""Results of other code: cells of plug-in methods that have been edited since they were run.

A cell's identity holds the digest of the code of each plug-in method. A planned cell is stale if the folder
holds only results of the same cell with other code, or if the plug-in's file, where it is known, says
something else by now. The file is read, never run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustbench_fl.core.code import code_in, digest_of_code, registered_in, without_code

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
    for name in plugins:
        for path in (Path(name), folder / PLUGINS / Path(name).name):
            if path.is_file():
                with contextlib.suppress(OSError, SyntaxError, ValueError):
                    digests |= {
                        known: digest_of_code(path, cls) for known, cls in registered_in(path).items()
                    }
                break
    return digests
