"""Names to methods, without importing more than is asked for.

Every built-in method is one file whose stem is its name, so names are read from the folder alone;
a file is imported when its method is first used. Further methods come from installed packages
(entry points ``robustbench_fl.aggregators`` and so on) or from a file named on the command line.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

from robustbench_fl.api.spec import NAME
from robustbench_fl.core.code import digest_of_code
from robustbench_fl.core.errors import UsageError, did_you_mean, nearest_or_own

PACKAGES = {
    "aggregators": "robustbench_fl.aggregators",
    "attacks": "robustbench_fl.attacks",
    "partitions": "robustbench_fl.data.partitions",
    "datasets": "robustbench_fl.data.sets",
    "models": "robustbench_fl.models.zoo",
}
"""Where the built-in methods of each kind live."""
OWN = "robustbench-fl"
"""Stands for the paper of a method that is the project's own."""


@dataclass(frozen=True)
class Entry:
    """A registered method.

    Parameters
    ----------
    name : str
        The name in specs, tables and keys.
    cls : type
        The frozen dataclass behind it.
    aliases : tuple of str
        Other names it answers to; the canonical text never uses them.
    version : int
        Raised whenever the method's numbers change, so that old cells are not mistaken for new.
    paper : str
        Short citation, ``"Yin 2018"``, or :data:`OWN` for what no paper describes.
    year : int, optional
        Year of the paper.
    cost : str
        Server cost in terms of n clients and d parameters.
    """

    name: str
    cls: type
    aliases: tuple[str, ...]
    version: int
    paper: str
    year: int | None
    cost: str

    @property
    def kind(self) -> str:
        """The kind of method, a key of :data:`PACKAGES`."""
        kind: str = self.cls.kind  # type: ignore[attr-defined]
        return kind

    @property
    def is_plugin(self) -> bool:
        """Whether it comes from outside this package."""
        return not self.cls.__module__.startswith("robustbench_fl.")

    @cached_property
    def code(self) -> str | None:
        """Digest of a plug-in's code (:func:`~robustbench_fl.core.code.digest_of_code`).

        ``None`` for built-in methods, whose `version` tells, and where no file holds the class.
        """
        file = getattr(sys.modules.get(self.cls.__module__), "__file__", None)
        if not self.is_plugin or file is None:
            return None
        return digest_of_code(Path(file), self.cls.__qualname__)


_entries: dict[str, dict[str, Entry]] = {kind: {} for kind in PACKAGES}
_aliases: dict[str, dict[str, str]] = {kind: {} for kind in PACKAGES}
_plugins: set[Path] = set()

C = TypeVar("C", bound=type)


def register(
    name: str,
    *,
    aliases: Iterable[str] = (),
    version: int = 1,
    paper: str = "",
    year: int | None = None,
    cost: str = "",
) -> Callable[[C], C]:
    """Return a class decorator that makes a method known under `name`.

    The kind (aggregator, attack …) follows from the base class. See :class:`Entry` for the
    parameters.

    Raises
    ------
    UsageError
        If another class already has the name or one of the aliases, a name cannot be written
        in a spec, or the class is no frozen dataclass of a known kind.
    """

    def decorate(cls: C) -> C:
        entry = Entry(name, cls, tuple(aliases), version, paper, year, cost)
        _check_class(cls)
        for word in (name, *entry.aliases):
            _check_name(word, entry)
        _entries[entry.kind][name] = entry
        _aliases[entry.kind].update(dict.fromkeys(entry.aliases, name))
        cls.registered = entry  # type: ignore[attr-defined]
        return cls

    return decorate


def names(kind: str) -> list[str]:
    """Return the names of all methods of `kind`, sorted, importing none of them."""
    return sorted({*_file_names(kind), *_entry_points(kind), *_entries[kind]})


def entry(kind: str, name: str, where: str = "") -> Entry:
    """Return the method `name` of `kind`, importing it if need be.

    Raises
    ------
    UsageError
        If there is no such method, with the nearest names.
    """
    name = _aliases[kind].get(name, name)
    if name not in _entries[kind]:
        if name in _file_names(kind):
            importlib.import_module(f"{PACKAGES[kind]}.{name}")
        elif name in _entry_points(kind):
            _load_entry_point(kind, name)
        else:
            load_all(kind)
            name = _aliases[kind].get(name, name)
    if name not in _entries[kind]:
        singular = kind.removesuffix("s").replace("dataset", "data set")
        place = f" in {where}" if where else ""
        hint = did_you_mean(name, names(kind)) or nearest_or_own(name, _aliases[kind])
        raise UsageError(
            f"Unknown {singular} {name!r}{place}.\n{hint}   All of them: robustbench-fl list {kind}"
        )
    return _entries[kind][name]


def is_known(kind: str, name: str) -> bool:
    """Whether `name` is a method of `kind`, or another name of one; this imports all to find out."""
    try:
        entry(kind, name)
    except UsageError:
        return False
    return True


def load_all(kind: str) -> list[Entry]:
    """Import every method of `kind` and return them sorted by name."""
    _load_builtin(kind)
    for name in _entry_points(kind):
        if name not in _entries[kind]:
            _load_entry_point(kind, name)
    return [_entries[kind][name] for name in sorted(_entries[kind])]


def load_plugin(path: Path) -> None:
    """Run the Python file `path`, whose ``@register`` lines add methods.

    Raises
    ------
    UsageError
        If the file is missing, is no Python file, fails, or registers nothing.
    """
    resolved = path.resolve()
    if resolved in _plugins:
        return
    if not resolved.is_file():
        raise UsageError(f"Plug-in {str(path)!r} is not a file. Give the path of a Python file.")
    # The folder is part of the module's name: two files may share a stem.
    digest = hashlib.sha256(str(resolved).encode()).hexdigest()[:8]
    module_name = f"robustbench_fl_plugin_{resolved.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(module_name, resolved)
    if spec is None or spec.loader is None:
        raise UsageError(f"Plug-in {str(path)!r} is not a Python file (expected a name ending in .py).")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for what was asked
            spec.loader.exec_module(module)
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a plug-in may raise anything
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(resolved)
        ]
        place = f" in line {lines[-1]}" if lines else ""
        raise UsageError(f"Plug-in {str(path)!r} failed{place}: {type(error).__name__}: {error}") from error
    made = [e for kind in PACKAGES for e in _entries[kind].values() if e.cls.__module__ == module_name]
    if not made:
        raise UsageError(f"Plug-in {str(path)!r} registers no method. Put @register(name) above its class.")
    for entry in made:
        _ = entry.code  # of the file that was run, whatever becomes of it
    _plugins.add(resolved)


def has_plugins() -> bool:
    """Whether there are methods beside the built-in ones, without importing any."""
    registered = (entry for kind in PACKAGES for entry in _entries[kind].values())
    return any(_entry_points(kind) for kind in PACKAGES) or any(entry.is_plugin for entry in registered)


def name_of(method: Any) -> str:
    """Return the registered name of a method's instance."""
    return entry_of(method).name


def entry_of(method: Any) -> Entry:
    """Return the registry entry of a method's instance."""
    found: Entry = type(method).registered
    return found


def _check_class(cls: type) -> None:
    kind = getattr(cls, "kind", None)
    if kind not in PACKAGES:
        raise UsageError(
            f"{cls.__qualname__} cannot be registered: derive it from Aggregator, PreAggregator, Attack, "
            "Partition, Dataset or ModelFamily."
        )
    parameters = cls.__dict__.get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        raise UsageError(
            f"{cls.__qualname__} cannot be registered: put @dataclass(frozen=True, kw_only=True) "
            "below @register."
        )


def _check_name(word: str, entry: Entry) -> None:
    kind, cls = entry.kind, entry.cls
    if not NAME.fullmatch(word):
        raise UsageError(
            f"{word!r} cannot be a name: it must be a letter, then letters, digits, '_', ':' or '.'."
        )
    if not cls.__module__.startswith(f"{PACKAGES[kind]}."):
        _load_builtin(kind)  # their names and aliases are not to be taken
    owner = _entries[kind].get(_aliases[kind].get(word, word))
    if owner and _origin(owner.cls) != _origin(cls):
        raise UsageError(
            f"The name {word!r} of {_origin(cls)} is taken by {_origin(owner.cls)}. Choose another."
        )


def _origin(cls: type) -> str:
    """Return where a class is defined; defining it anew there replaces it (a notebook's cell run twice)."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _load_builtin(kind: str) -> None:
    for name in _file_names(kind):
        importlib.import_module(f"{PACKAGES[kind]}.{name}")


def _load_entry_point(kind: str, name: str) -> None:
    point = _entry_points(kind)[name]
    try:
        point.load()
    except Exception as error:
        raise UsageError(
            f"The installed plug-in {point.value!r} failed: {type(error).__name__}: {error}"
        ) from error
    if name not in _entries[kind]:
        raise UsageError(
            f"The installed plug-in {point.value!r} promises {name!r} ({kind}) but does not register it."
        )


@cache
def _file_names(kind: str) -> frozenset[str]:
    spec = importlib.util.find_spec(PACKAGES[kind])
    folders = spec.submodule_search_locations if spec else None
    files = (path for folder in folders or () for path in Path(folder).glob("*.py"))
    return frozenset(path.stem for path in files if not path.stem.startswith("_"))


@cache
def _entry_points(kind: str) -> dict[str, Any]:
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group=f"robustbench_fl.{kind}")}
    clash = sorted(set(found) & _file_names(kind))
    if clash:
        raise UsageError(
            f"An installed plug-in redefines the built-in {kind} {', '.join(clash)}. Rename or uninstall it."
        )
    return found
