"""The table of rules beside the same rules tuned."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from written import percent, table, worst_case

from robustbench_fl.analysis.tuned import tuned_to
from robustbench_fl.core.tuned import read_tuned, tuned


def before_and_after(cells: pd.DataFrame, picks: Path) -> str:
    """Return what each rule was tuned to, its gain on the validation split, and both worst cases.

    Parameters
    ----------
    cells : pandas.DataFrame
        Cells of one world, with tuned rules.
    picks : Path
        The file ``tuned.json`` of their pilot.
    """
    forms = tuned_to(cells)
    rows = []
    for pick in read_tuned(picks).picks:
        sides = [cells[cells["aggregator"] == rule] for rule in (pick.aggregator, tuned(pick.aggregator))]
        assert pick.gain is not None
        assert pick.error is not None
        rows.append(
            [
                pick.aggregator,
                f"`{forms[tuned(pick.aggregator)]}`" + f" (edge: {', '.join(pick.edge)})" * bool(pick.edge),
                f"{100 * pick.gain:+.1f} ± {100 * pick.error:.1f}",
                *(percent(side.loc[side["attack"] == "none", "accuracy"].mean()) for side in sides),
                *(worst_case(side[side["attack"] != "none"]) for side in sides),
            ]
        )
    names = [
        "rule",
        "tuned to",
        "gain in validation, points",
        "clean",
        "clean, tuned",
        "worst",
        "worst, tuned",
    ]
    return table(names, rows)
