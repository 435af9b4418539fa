"""Results of other code: cells of plug-in methods that have been edited since they were run.

A cell's identity holds the digest of the code of each plug-in method. A planned cell is stale if the folder
holds only results of the same cell with other code, or if the plug-in's file, where it is known, says
something else by now. The file is read, never run.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_fl.core.code import digest_of_code, registered_in

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
    """

    changed: tuple[str, ...]
    key: str

    @property
    def reason(self) -> str:
        """What happened, in words."""
        return f"{', '.join(self.changed)} changed"


def code_in(identity: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of plug-in methods in a cell's identity, by name.

    Examples
    --------
    >>> code_in({"attack": {"name": "mine", "code": "0a1b"}, "aggregator": [{"name": "mean"}], "seed": 0})
    {'mine': '0a1b'}
    """
    return {part["name"]: part["code"] for part in _parts(identity) if "code" in part}


def without_code(identity: Mapping[str, Any]) -> str:
    """Return a text that two cells share if they differ in nothing but the code of their methods."""
    bare = json.loads(json.dumps(identity))
    for part in _parts(bare):
        part.pop("code", None)
    return json.dumps(bare, sort_keys=True)


def of_other_code(
    planned: Iterable[Mapping[str, Any]], stored: Iterable[Mapping[str, Any]]
) -> dict[str, Stale]:
    """Return the planned cells of which only results of other code are stored, by key.

    Parameters
    ----------
    planned : iterable of mapping
        ``key`` and ``cell`` (the identity) of planned cells without a result.
    stored : iterable of mapping
        Records of cells that are not planned; of several that fit, the last one counts.
    """
    wanted = {without_code(row["cell"]): row for row in planned if code_in(row["cell"])}
    found = {}
    for record in stored if wanted else ():
        if not code_in(record["cell"]) or (row := wanted.get(without_code(record["cell"]))) is None:
            continue
        found[row["key"]] = Stale(_changed(row["cell"], code_in(record["cell"])), record["key"])
    return found


def edited_since(identity: Mapping[str, Any], now: Mapping[str, str]) -> tuple[str, ...]:
    """Return the methods of a cell whose code, as the plug-in files have it `now`, is another."""
    return _changed(identity, now) if now else ()


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
                    digests |= {known: digest_of_code(path, cls) for known, cls in registered_in(path).items()}
                break
    return digests


def _changed(identity: Mapping[str, Any], other: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for name, code in code_in(identity).items() if other.get(name, code) != code)


def _parts(identity: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a cell's identity says of each method."""
    for value in identity.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict) and "name" in part:
                yield part
