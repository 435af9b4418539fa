"""Damage to files, and what becomes of it: told, of no consequence, or another answer without a word."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustbench_fl.core.errors import RobustbenchError
from robustbench_fl.core.sealed import Damaged

DAMAGE = ("flip", "truncate", "empty", "swap", "duplicate")


@dataclass
class Target:
    """One kind of file that is read back.

    Parameters
    ----------
    paths : list of Path
        Such files; one of them is damaged at a time.
    answer : callable
        Reads them as commands do, and returns all that comes of it, to be compared with ``==``.
    other : bytes
        A file of the same kind that belongs elsewhere.
    """

    paths: list[Path]
    answer: Callable[[], Any]
    other: bytes


def mutated(raw: bytes, other: bytes, damage: str, rng: random.Random) -> bytes:
    """Return `raw` after one piece of damage."""
    if damage == "flip":
        bad = bytearray(raw)
        for _ in range(rng.choice((1, 1, 1, 4))):
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        return bytes(bad)
    if damage == "truncate":
        return raw[: rng.randrange(1, len(raw))]
    if damage == "duplicate":
        low, high = sorted(rng.randrange(len(raw) + 1) for _ in range(2))
        return rng.choice((raw + raw, raw[:high] + raw[low:high] + raw[high:]))
    return b"" if damage == "empty" else other


def outcomes(target: Target, count: int, rng: random.Random) -> Iterator[tuple[str, str]]:
    """Damage the target's files `count` times; yield damage and outcome, and put each file back.

    The outcome is ``detected`` (an error or a warning), ``harmless`` (the same answer), ``silent`` (another
    answer), or what was raised that no user should see.
    """
    right = target.answer()
    for number in range(count):
        path = rng.choice(target.paths)
        raw, damage = path.read_bytes(), DAMAGE[number % len(DAMAGE)]
        bad = mutated(raw, target.other, damage, rng)
        if bad == raw:
            continue
        path.write_bytes(bad)
        try:
            yield damage, _outcome(target, right)
        finally:
            path.write_bytes(raw)


def _outcome(target: Target, right: Any) -> str:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = target.answer()
        except (RobustbenchError, Damaged):
            return "detected"
        except Exception as error:
            return f"raised {type(error).__name__}"
    if any(issubclass(one.category, UserWarning) for one in said):
        return "detected"
    return "harmless" if found == right else "silent"


def table(counts: dict[str, Counter[str]]) -> str:
    """Return the counts of all targets as a Markdown table."""
    total = sum(counts.values(), Counter())
    rows = [*counts.items(), ("all", total)]
    lines = ["| file | mutations | detected | harmless | silent |", "|---|--:|--:|--:|--:|"]
    lines += [
        f"| {name} | {n.total()} | {n['detected']} | {n['harmless']} | {n['silent']} |" for name, n in rows
    ]
    return "\n".join(lines)
