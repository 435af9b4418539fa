"""What a method's code says, as a digest: comments, layout, docstrings and unused neighbours aside.

A plug-in may be edited between two runs. Its cells carry the digest of the class and of everything in its
file, or package, that the class uses, so that results of other code are never taken for its own.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

_UNSTABLE = frozenset({"ctx", "kind", "type_comment", "type_ignores", "type_params"})
"""Fields that say nothing of what runs, or that only some versions of Python have."""
_WHOLE = "*"
_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class _File:
    """The top level of one Python file: what binds each name, and what is run for its effect."""

    bound: dict[str, list[ast.stmt]] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)


def digest_of_code(path: Path, name: str, home: Path | None = None) -> str:
    """Return the digest of what `name` means in the Python file `path`.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        A class or function of its top level; for any other name, everything in the file counts.
    home : Path, optional
        Only files below this folder count. By default the outermost package that holds the file, or else
        its folder; never this package, whose version tells.

    Returns
    -------
    str
        16 hexadecimal digits; the same on every version of Python that reads the file the same way.

    Raises
    ------
    OSError, SyntaxError
        If the file cannot be read, or is no Python.
    """
    path = path.resolve()
    root = _root(path)
    top = path.parent if root == path.parent else root / path.relative_to(root).parts[0]

    def counts(file: Path) -> bool:
        if home is not None:
            return file.is_relative_to(home.resolve())
        return file.is_relative_to(top) and not file.is_relative_to(_PACKAGE)

    read_once, find = cache(_read), cache(_file_of)  # for this digest: files may change between two

    def modules(statement: ast.stmt, file: Path) -> list[Path]:
        return [module for module, _ in _imported(_said(statement).imports, file, root, find)]

    todo = [(path, name if name in read_once(path).bound else _WHOLE)]
    seen: set[tuple[Path, str]] = set()
    told: set[str] = set()
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        file, wanted = place
        read = read_once(file)
        module = "" if file == path else file.relative_to(root).as_posix()
        names = list(read.bound) if wanted == _WHOLE else [wanted]
        statements = read.effects + [one for known in names for one in read.bound.get(known, [])]
        # Names behind a star are bound by it alone, so that nothing else leads to their file.
        stars = (one for one in read.bound.get(_WHOLE, []) if any(map(counts, modules(one, file))))
        for statement in [*statements, *stars]:
            said = _said(statement)
            told.add(f"{module}\0{said.text}")
            todo += [(file, used) for used in said.names if used in read.bound]
            todo += [one for one in _imported(said.imports, file, root, find) if counts(one[0])]
    return hashlib.sha256("\n".join(sorted(told)).encode()).hexdigest()[:16]


def registered_in(path: Path) -> dict[str, str]:
    """Return the classes that ``@register(name)`` of a file makes known, by name, without running it.

    Raises
    ------
    OSError, SyntaxError
        If the file cannot be read, or is no Python.
    """
    found = {}
    for statement in (one for many in _read(path.resolve()).bound.values() for one in many):
        for decorator in statement.decorator_list if isinstance(statement, ast.ClassDef) else ():
            if not isinstance(decorator, ast.Call) or not decorator.args:
                continue
            called, first = decorator.func, decorator.args[0]
            word = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if word == "register" and isinstance(first, ast.Constant) and isinstance(first.value, str):
                found[first.value] = statement.name  # type: ignore[attr-defined]
    return found


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


def shown_file(path: Path) -> str:
    """Return a plug-in's path as it may be stored: below the working directory, or its name alone."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name


def _root(path: Path) -> Path:
    """Return the folder from which modules beside `path` are imported: above its outermost package."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _read(path: Path) -> _File:
    found = path.stat()
    return _parsed(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=256)
def _parsed(path: Path, changed: int, size: int) -> _File:
    file = _File()
    for statement in ast.parse(path.read_bytes()).body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        names = set(_binds(statement))
        for name in names:
            file.bound.setdefault(name, []).append(statement)
        if not names:
            file.effects.append(statement)
    return file


def _binds(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of the top level gives a meaning."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.split(".")[0]
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
                yield node.id
            elif isinstance(node, ast.stmt) and node is not statement:
                yield from _binds(node)


class _Said(NamedTuple):
    """What a statement says: itself, the names that it reads, and the imports in it."""

    text: str
    names: frozenset[str]
    imports: tuple[ast.Import | ast.ImportFrom, ...]


@lru_cache(maxsize=4096)
def _said(statement: ast.stmt) -> _Said:
    """Methods of one package share statements, each of which is walked once."""
    nodes = list(ast.walk(statement))
    names = frozenset(node.id for node in nodes if isinstance(node, ast.Name))
    imports = tuple(node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
    return _Said(_text(statement), names, imports)


def _imported(
    imports: Iterable[ast.Import | ast.ImportFrom],
    file: Path,
    root: Path,
    find: Callable[[Path, str], Path | None],
) -> Iterator[tuple[Path, str]]:
    """Yield what imports take from files beside this one; all of it if a module."""
    for node in imports:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if (module := find(root, alias.name)) is not None:
                    yield module, _WHOLE
        else:
            base = file.parents[node.level - 1] if node.level else root
            for alias in node.names:
                inner = find(base, ".".join(filter(None, (node.module, alias.name))))
                outer = find(base, node.module or "")
                if inner is not None:
                    yield inner, _WHOLE
                elif outer is not None:
                    yield outer, alias.name


def _file_of(base: Path, dotted: str) -> Path | None:
    """Return the file of a module below the folder `base`, ``None`` for modules from elsewhere."""
    place = base.joinpath(*dotted.split(".")) if dotted else base
    for path in (place.with_suffix(".py") if dotted else place / "__init__.py", place / "__init__.py"):
        if path.is_file():
            return path.resolve()
    return None


def _text(node: object) -> str:
    """Return a syntax tree as text that no version of Python writes differently."""
    if isinstance(node, ast.AST):
        fields = {name: value for name, value in ast.iter_fields(node) if name not in _UNSTABLE}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            fields["body"] = _without_docstring(node.body)
        inside = ",".join(
            f"{name}={_text(value)}" for name, value in fields.items() if value is not None and value != []
        )
        return f"{type(node).__name__}({inside})"
    if isinstance(node, list):
        return f"[{','.join(map(_text, node))}]"
    return f"{type(node).__name__}:{node!r}"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if is_text else body


def _parts(identity: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what a cell's identity says of each method."""
    for value in identity.values():
        if isinstance(value, list):
            yield from (part for part in value if isinstance(part, dict) and "name" in part)
        elif isinstance(value, dict) and "name" in value:
            yield value
