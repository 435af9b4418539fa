"""The page on statistics shows what the functions give, and what the benchmark found."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "statistics.md"


def test_the_example_gives_what_it_says() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert (found.failed, found.attempted) == (0, 3)


def test_the_simulated_numbers_are_those_of_the_benchmarks() -> None:
    table = PAGE.read_text().split("## What was simulated")[1].split("## What the intervals")[0]
    shown = set(re.findall(r"[\d.]+ %(?= \|)", table))
    found = (ROOT / "benchmarks" / "README.md").read_text().split("## Inference")[1]
    assert len(shown) > 15
    assert shown <= set(re.findall(r"[\d.]+ %", found))
