"""The page on the architecture names the rooms that there are, and its walk goes down."""

from __future__ import annotations

import ast
import re
import runpy
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = re.search(
    r"^ROOMS = (\{.*?^\})", (ROOT / "tests" / "test_architecture.py").read_text(), re.DOTALL | re.MULTILINE
)
assert TABLE
ROOMS: dict[str, tuple[str, ...]] = ast.literal_eval(TABLE[1])
PAGE = (ROOT / "docs" / "architecture.md").read_text()
MADE = runpy.run_path(str(ROOT / "docs" / "rooms.py"))


def marked(name: str) -> str:
    return PAGE.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]


def test_the_table_of_rooms_is_that_of_the_imports() -> None:
    rows = [line.split(" | ") for line in marked("rooms").splitlines() if line.startswith("| `")]
    below = {re.sub(r"\W", "", row[0]): set(re.findall(r"`(\w+)`", row[2])) for row in rows}
    assert below.pop("cli") == set()
    assert below == {name: set(others) for name, others in ROOMS.items() if name != "cli"}
    floors = {re.sub(r"\W", "", row[0]): int(row[3]) for row in rows}
    assert floors == {name: MADE["floors"](MADE["imports"](ROOT))[name] for name in ROOMS}
    assert all(floors[name] > floors[other] for name, others in ROOMS.items() for other in others)


def test_the_floors_and_circles_of_a_small_house() -> None:
    house = {"roof": {"left", "right"}, "left": {"right"}, "right": {"left", "ground"}, "ground": set()}
    assert MADE["floors"](house) == {"ground": 1, "left": 2, "right": 2, "roof": 3}
    assert MADE["circles"](house) == ["left - right"]


def test_the_walk_names_files_and_never_goes_up() -> None:
    lines = [re.match(r"( *)(\S+\.py)(?: |$)", line) for line in marked("walk").splitlines()[1:-1]]
    steps = [(len(found[1]) // 2, found[2]) for found in lines if found]
    assert len(steps) == len(lines) > 30
    assert all((ROOT / "robustbench_fl" / path).is_file() for _, path in steps)
    assert all(deeper <= depth + 1 for (depth, _), (deeper, _) in pairwise(steps))
    callers: dict[int, str] = {}
    for depth, path in steps:
        room = path.split("/")[0]
        if depth:
            assert room in (callers[depth - 1], *ROOMS[callers[depth - 1]]), path
        callers[depth] = room
