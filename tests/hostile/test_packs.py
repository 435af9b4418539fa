"""Packs of strangers: records with anything in place of one of their values, sealed by their author.

No seal shows that. What commands make of it is an answer or a sentence, and nothing outside the folder
changes. A few packs by default, many in ``make soak``.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch  # noqa: F401 - where it is imported, plans are made in this very process

from robustbench_fl.store import Store
from robustbench_fl.store.codec import canonical_line, seal
from robustbench_fl.store.lines import write_lines

SOAK = os.environ.get("ROBUSTBENCH_FL_SOAK") == "1"
RELEASE = Path(__file__).parents[1] / "store" / "release-0.1"
VALUES: list[Any] = [
    10**400, -(10**400), 2**63, 2**31, 1e308, -1e308, 5e-324, -1, 0, 1, 0.5, True, None, "", "nan", [], {},
    [[[]]], "x" * 10**5, [0] * 10**4, {"a": {"b": 1}}, "\x1b[2J\u202e", "../../x", "=1+1", "\ud800", "mean",
    "mlp(hidden=[9])",
]  # fmt: skip
READING = (
    "status S", "leaderboard S", "leaderboard S --by attack", "matrix S", "matrix S --value accuracy_std",
    "matrix S --rows seed --value tpr", "attacks S", "costs S", "detection S", "differences S", "show K S",
    "significance S --pairs", "compare S S", "failures S", "badge S",
    "recommend --clients 8 --malicious 0.2 --results S",
)  # fmt: skip
WRITING = (
    "tables S",
    "report S",
    "figures S",
    "merge S -o M",
    "clean S --stale --yes",
    "unpack S",
    "pack S",
    "recover S",
)
FORMATS = ("table", "md", "csv", "latex", "html", "json")
NO_FORMAT = ("badge", *(line.split()[0] for line in WRITING))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the values of a record are, those that hold others included."""
    if path:
        yield path
    parts = (
        value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    )
    for name, part in parts:
        yield from leaves(part, (*path, name))


def forged(record: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return a copy of a record with one value replaced, or gone."""
    made = copy.deepcopy(record)
    *way, last = rng.choice(list(leaves(made)))
    place = made
    for name in way:
        place = place[name]
    if isinstance(place, dict) and rng.random() < 0.1:
        del place[last]
    else:
        place[last] = rng.choice(VALUES)
    return made


def forge(folder: Path, rng: random.Random) -> list[str]:
    """Fill a folder's pack with forged records; return their keys."""
    records = Store(folder).records()
    lines = [seal(forged(record, rng) if rng.random() < 0.6 else record) for record in records]
    lines += [*rng.sample(lines, 2), canonical_line({"checksum": "0" * 32, **records[0]})]
    rng.shuffle(lines)
    write_lines(folder / "cells.jsonl.gz", lines, "pack")
    return [record["key"] for record in records]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(20 if SOAK else 2))
def test_no_command_breaks_on_what_a_pack_says(seed: int, tmp_path: Path, run_here: Any) -> None:
    rng = random.Random(seed)
    inner = tmp_path / "deep" / "er"
    keys = forge(Path(shutil.copytree(RELEASE, inner / "S")), rng)
    chosen = [*READING, *WRITING] if SOAK else [*rng.sample(READING, 8), "pack S", "recover S"]
    for line in chosen:
        words = [rng.choice(keys) if word == "K" else word for word in line.split()]
        if words[0] not in NO_FORMAT:
            words += ["--format", rng.choice(FORMATS)]
        done = run_here(inner, *words)
        assert done.returncode in (0, 1, 2), (words, done.stderr[-3000:])
        assert "Traceback" not in done.stderr, (words, done.stderr[-3000:])
    assert {path.name for path in tmp_path.rglob("*")} >= {"deep", "er", "S"}
    assert {path.name for path in inner.iterdir()} <= {"S", "M"}
    assert os.listdir(tmp_path) == ["deep"]


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 10**5, b"{" * 10**5, b'{"a":' * 10**5, b"9" * 10**6, b'{"schema_version": %s}' % (b"9" * 5000),
        b"null", b'{"checksum":"' + b"0" * 32 + b'","schema_version":5}', b"\x00" * 10**6,
        b'"' + b"\\ud800" * 10**4 + b'"',
    ],
    ids=range(9),
)  # fmt: skip
def test_a_line_that_is_no_record_is_named(line: bytes, tmp_path: Path, run_here: Any) -> None:
    folder = Path(shutil.copytree(RELEASE, tmp_path / "s"))
    pack = folder / "cells.jsonl.gz"
    pack.write_bytes(gzip.compress(gzip.decompress(pack.read_bytes()) + line + b"\n"))
    done = run_here(tmp_path, "status", "s", "--format", "json")
    assert done.returncode in (0, 1)
    assert "line 19 of cells.jsonl.gz" in done.stderr
    assert json.loads(done.stdout)[-1]["done"] == 18


def test_a_line_that_unpacks_to_much_takes_little(tmp_path: Path, run_here: Any) -> None:
    folder = Path(shutil.copytree(RELEASE, tmp_path / "s"))
    pack = folder / "cells.jsonl.gz"
    with gzip.open(pack, "ab", compresslevel=1) as file:
        for _ in range(70):
            file.write(bytes(1 << 20))
    done = run_here(tmp_path, "status", "s")
    assert done.returncode in (1, 2)
    assert "holds a line of more than 64 MB" in done.stderr or "goes on after its end" in done.stderr
