"""Put the further blocks of the standard suite into their page: ``python docs/further_tables.py``.

They are those of the tier ``cpu`` that are not part of the headline; each is shown if it has all its cells.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
from board_tables import whole_records
from marked import with_made
from tuned_table import before_and_after
from written import by_number, difference, percent, table, worst_case

from robustbench_fl.analysis.blocks import CLEAN
from robustbench_fl.analysis.curves import attack_ends, curves
from robustbench_fl.analysis.frame import frame
from robustbench_fl.sweep.suites import Tier, read_suite, stored_at

PAGE = Path(__file__).parent / "blocks.md"
CHANGED = ("half-f", "double-f", "participation", "momentum")
"""Blocks that are read beside the main block from which they take their attacks."""
NOT_RUN = "Not run yet."


class Further:
    """The cells of a tier's blocks.

    Parameters
    ----------
    tier : Tier
    folder : Path
        Of its results.
    """

    def __init__(self, tier: Tier, folder: Path) -> None:
        self.tier, self.folder = tier, folder

    def cells(self, name: str) -> pd.DataFrame:
        """Return the cells of a block, none where some are missing."""
        return frame(whole_records(self.folder / name))


def changed(further: Further, name: str) -> str:
    """Return each rule in a block and in the main block whose attacks it has, under the same attacks."""
    here = further.cells(name)
    base = further.tier.block(name).strengths
    there = further.cells(base)
    if here.empty or there.empty:
        return NOT_RUN
    rows = []
    for rule, own in here.groupby("aggregator", sort=False):
        before = there[(there["aggregator"] == rule) & there["attack"].isin(own["attack"])]
        (seeds, attack), (seeds_before, _) = _at_worst(own), _at_worst(before)
        rows.append(
            [
                str(rule),
                *(percent(_clean(side)) for side in (before, own)),
                *(worst_case(_attacked(side)) for side in (before, own)),
                difference(seeds, seeds_before),
                attack,
            ]
        )
    names = ["rule", f"clean %, `{base}`", "here", "worst %, there", "here", "difference, points", "under"]
    return table(names, by_number(rows, 4))


def made_for(further: Further) -> str:
    """Return accuracy with and without the attack that was made for FedREDefense, and who was rejected."""
    cells = further.cells("made-for-the-rule")
    if cells.empty:
        return NOT_RUN
    rows = [
        [
            str(rule),
            percent(_clean(own)),
            worst_case(_attacked(own)),
            difference(_at_worst(own)[0], own[own["attack"] == CLEAN].set_index("seed")["accuracy"]),
            *(percent(_attacked(own)[rate].mean()) for rate in ("tpr", "fpr")),
        ]
        for rule, own in cells.groupby("aggregator", sort=False)
    ]
    names = [
        "rule",
        "clean %",
        "attacked %",
        "difference, points",
        "malicious ever rejected %",
        "honest ever rejected %",
    ]
    return table(names, rows)


def backdoors(further: Further) -> str:
    """Return each rule's accuracy and the backdoor's success: at its last round, after ten, after twenty."""
    records = whole_records(further.folder / "backdoors")
    if not records:
        return NOT_RUN
    cells = frame(records)
    ends = cells["attack"].map(attack_ends(records))
    last = curves(records).merge(
        cells.assign(round=ends)[["key", "round", "aggregator"]], on=["key", "round"]
    )
    during = last.groupby("aggregator")["attack_success"].mean()
    rows = []
    for rule, own in cells.groupby("aggregator", sort=False):
        attacked = _attacked(own)
        later = attacked[["success_after_10", "success_after_20"]].mean()
        rates = attacked[["tpr", "fpr"]].mean()
        rows.append(
            [
                str(rule),
                percent(_clean(own)),
                worst_case(attacked),
                *map(percent, (during[rule], *later, *rates)),
            ]
        )
    names = ["rule", "clean %", "attacked %", "success in its last round %", "10 rounds after %",
             "20 rounds after %", "malicious ever rejected %", "honest ever rejected %"]  # fmt: skip
    return table(names, sorted(rows, key=lambda row: float(row[4])))


def tuned_rules(further: Further) -> str:
    """Return what rules were tuned to with equal budgets, and what it gained."""
    cells = further.cells("tuned")
    return NOT_RUN if cells.empty else before_and_after(cells, further.folder / "tuned" / "tuned.json")


def _attacked(cells: pd.DataFrame) -> pd.DataFrame:
    return cells[cells["attack"] != CLEAN]


def _clean(cells: pd.DataFrame) -> float:
    return float(cells.loc[cells["attack"] == CLEAN, "accuracy"].mean())


def _at_worst(cells: pd.DataFrame) -> tuple[pd.Series, str]:
    """Return a rule's accuracy by seed under its worst attack, and which that is."""
    values = _attacked(cells).pivot(index="attack", columns="seed", values="accuracy")
    name = str(values.mean(axis=1).idxmin())
    return values.loc[name], name


ASKED = {"made-for-the-rule": made_for, "backdoors": backdoors, "tuned": tuned_rules}
"""Blocks that ask a question of their own."""


def page(text: str, further: Further) -> str:
    """Return the page's `text` with its tables made anew."""
    made = {name: partial(changed, name=name) for name in CHANGED}
    return with_made(text, {name: table_of(further) for name, table_of in (made | ASKED).items()}, PAGE.name)


def committed() -> Further:
    """Return those of the committed results."""
    tier = read_suite("rbfl-1").tier("cpu")
    return Further(tier, stored_at(tier))


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), committed()))
