"""How the scripts of pages write a table and what stands in it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd

from robustbench_fl.analysis.inference import mean_interval, worst_interval


def table(names: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return a Markdown table, with a caption below it if there is one."""
    lines = [f"| {' | '.join(row)} |" for row in [names, ["---"] * len(names), *rows]]
    return "\n".join([*lines, *(["", filled(caption)] if caption else [])])


def filled(text: str, further: str = "") -> str:
    """Return a paragraph in lines that a page may have; `further` begins those after the first."""
    return textwrap.fill(
        " ".join(text.split()), 118, subsequent_indent=further, break_long_words=False, break_on_hyphens=False
    )


def percent(value: float) -> str:
    """Return a fraction in percent, a dash for what is missing."""
    return "–" if pd.isna(value) else f"{100 * value:.1f}"


def worst_case(cells: pd.DataFrame) -> str:
    """Return the least mean over seeds with its 95 % interval, in %; attacked cells of one world."""
    values = cells.pivot(index="attack", columns="seed", values="accuracy").to_numpy(dtype=float)
    values = values[~np.isnan(values).all(axis=1)]
    if not len(values):
        return "–"
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * end for end in worst_interval(values[None])))


def difference(one: pd.Series, other: pd.Series) -> str:
    """Return by how many points `one` is above `other` with its 95 % t interval, both over the same seeds."""
    gaps = (one - other).to_numpy(dtype=float)
    centre, low, high = mean_interval(gaps[None, None])
    return f"{100 * centre:+.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def by_number(rows: list[list[str]], place: int) -> list[list[str]]:
    """Return rows by the number with which one of their entries begins, highest first."""
    return sorted(rows, key=lambda row: -float(row[place].split()[0]))
