"""Put the tables of rooms into ``docs/architecture.md``: ``python docs/rooms.py [CHECKOUT]``.

With a checkout of another commit its tables are printed instead. It counts files and import lines. A
unit is a room, or a module at the package's top but for ``__init__`` and ``__main__``. An arrow is one
unit that imports another anywhere, in functions and for types too. The floor of a unit is 1 if it
imports no other, else one more than the highest that it imports.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from marked import with_made

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = "robustbench_fl"
LINKED = ("aggregators", "attacks")
ENTRIES = {"__init__", "__main__"}
BEFORE = {
    "modules at the package's top": "37",
    "units: rooms, and modules at the top": "47",
    "arrows: units that import another": "203",
    "floors": "12",
    "circles": "api - models",
    "lines of Python": "39,080",
    "of these in `aggregators/` and `attacks/`": "9,536",
    "in `analysis/`": "3,562",
    "in everything else": "25,982",
    "lines of JavaScript": "1,113",
}
"""What :func:`totals` gives for commit 900ce93, before there were rooms."""


def table(root: Path) -> str:
    """Return the table of rooms of the checkout `root`, and its totals."""
    of, rooms = floors(imports(root)), folders(root)
    lines = ["| room | owns | may import | floor | files | lines |", "|---|---|---|--:|--:|--:|"]
    for name in sorted(rooms, key=lambda room: (of[room], room)):
        owns, below = described(rooms[name])
        files, size = count(rooms[name])
        lines.append(f"| `{name}/` | {owns} | {below} | {of[name]} | {files} | {size:,} |")
    return "\n".join(lines)


def totals(root: Path) -> dict[str, str]:
    """Return what the whole checkout has of everything, as text."""
    imported, rooms = imports(root), folders(root)
    lines = {name: count(folder)[1] for name, folder in rooms.items()}
    methods = sum(lines[name] for name in LINKED)
    whole = sum(lines.values()) + count(root / PACKAGE, "*.py")[1]
    return {
        "modules at the package's top": str(count(root / PACKAGE, "*.py")[0]),
        "units: rooms, and modules at the top": str(len(imported)),
        "arrows: units that import another": str(sum(map(len, imported.values()))),
        "floors": str(max(floors(imported).values())),
        "circles": "; ".join(circles(imported)) or "none",
        "lines of Python": f"{whole:,}",
        "of these in `aggregators/` and `attacks/`": f"{methods:,}",
        "in `analysis/`": f"{lines['analysis']:,}",
        "in everything else": f"{whole - methods - lines['analysis']:,}",
        "lines of JavaScript": f"{count(root / PACKAGE, '**/*.js')[1]:,}",
    }


def compared(now: dict[str, str]) -> str:
    """Return the totals beside those before."""
    rows = [f"| {name} | {old} | {now[name]} |" for name, old in BEFORE.items()]
    return "\n".join(["| | before | now |", "|---|--:|--:|", *rows])


def page(text: str) -> str:
    """Return the page's `text` with what stands between its markers made anew."""
    return with_made(text, {"rooms": table(ROOT), "totals": compared(totals(ROOT))}, PAGE.name)


def folders(root: Path) -> dict[str, Path]:
    """Return where each room lies, by name."""
    own = {p.name: p for p in (root / PACKAGE).iterdir() if (p / "__init__.py").is_file()}
    return own | {name: root / name for name in LINKED}


def described(folder: Path) -> tuple[str, str]:
    """Return what a room owns and what it may import, from its docstring."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    owns, _, rest = text.partition("\n\n")
    said = re.split(r"[.,;]\s", rest.partition("May import ")[2].replace("\n", " ") + " ")
    names = re.findall(r"``([a-z]+)``", rest.partition("May import ")[2].split(".")[0].split(";")[0])
    below = ", ".join(f"`{name}`" for name in names) or said[0].removesuffix(" of this package")
    return " ".join(owns.split()).rstrip("."), below


def count(folder: Path, pattern: str = "**/*.py") -> tuple[int, int]:
    """Return the number of files and of their lines."""
    files = list(folder.glob(pattern))
    return len(files), sum(len(path.read_text().splitlines()) for path in files)


def imports(root: Path) -> dict[str, set[str]]:
    """Return the units that each unit imports."""
    found: dict[str, set[str]] = {name: set() for name in folders(root)}
    found |= {path.stem: set() for path in (root / PACKAGE).glob("*.py") if path.stem not in ENTRIES}
    for unit, path in files_of(root):
        found[unit] |= {other for other in units(path) if other in found and other != unit}
    return found


def files_of(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file of every unit."""
    for name, folder in folders(root).items():
        yield from ((name, path) for path in folder.rglob("*.py"))
    yield from ((p.stem, p) for p in (root / PACKAGE).glob("*.py") if p.stem not in ENTRIES)


def units(path: Path) -> Iterator[str]:
    """Yield the unit of every import of this package in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith(f"{PACKAGE}."))


def floors(imported: dict[str, set[str]]) -> dict[str, int]:
    """Return the floor of each unit; those of a circle share one."""
    below = {unit: reached(imported, unit) for unit in imported}
    floor = dict.fromkeys(imported, 1)
    for _ in imported:  # as often as there can be floors
        for unit, others in imported.items():
            floor[unit] = max([floor[unit], *(floor[o] + (unit not in below[o]) for o in others)])
    return floor


def reached(imported: dict[str, set[str]], start: str) -> set[str]:
    """Return all units that `start` imports, directly or not."""
    seen, new = set(), {start}
    while new:
        new = {other for unit in new for other in imported[unit]} - seen
        seen |= new
    return seen


def circles(imported: dict[str, set[str]]) -> list[str]:
    """Return the circles of units, each as text."""
    groups = {frozenset(o for o in reached(imported, u) if u in reached(imported, o)) for u in imported}
    return sorted(" - ".join(sorted(group)) for group in groups if group)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(table(Path(sys.argv[1])), compared(totals(Path(sys.argv[1]))), sep="\n\n")
    else:
        PAGE.write_text(page(PAGE.read_text()))
