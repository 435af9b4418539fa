"""One small set of cells, every number of whose leaderboard can be checked by hand.

Accuracy in percent; two fractions of malicious clients, one seed::

                     20 % malicious              40 % malicious
                none  ipm  alie  adaptive    none  ipm  alie  adaptive
    mean          90   50    89        40      90   30    60        20
    krum          80   70    75        60      80   50    55        10
    median        80   70    75        70      80   50    65        50
    bulyan        85   80    80        80         infeasible
    flame         90   88    88        88      90   88     –        88     (– was never run)
    oracle_mean   90   89    89        89      90   88    88        88
"""

from __future__ import annotations

import pandas as pd
import pytest

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard

ATTACKS = ("none", "ipm", "alie", "adaptive_min_max")
TWENTY = {
    "mean": (90, 50, 89, 40),
    "krum": (80, 70, 75, 60),
    "median": (80, 70, 75, 70),
    "bulyan": (85, 80, 80, 80),
    "flame": (90, 88, 88, 88),
    "oracle_mean": (90, 89, 89, 89),
}
FORTY = {
    "mean": (90, 30, 60, 20),
    "krum": (80, 50, 55, 10),
    "median": (80, 50, 65, 50),
    "flame": (90, 88, None, 88),
    "oracle_mean": (90, 88, 88, 88),
}


@pytest.fixture
def cells(record):
    found = [record("bulyan", attack, malicious=0.4, status="infeasible") for attack in ATTACKS]
    for malicious, table in ((0.2, TWENTY), (0.4, FORTY)):
        for rule, row in table.items():
            for attack, percent in zip(ATTACKS, row, strict=True):
                status = "missing" if percent is None else "done"
                share = None if percent is None else percent / 100
                found.append(record(rule, attack, share, malicious=malicious, status=status))
    return frame(found)


def rows(board):
    return board.table.set_index("aggregator")


def test_scores(cells):
    table = rows(leaderboard(cells))
    # The lowest of ipm and alie at 20 %, that at 40 %, and their mean; adaptive attacks apart.
    assert table["worst_accuracy"].to_dict() == pytest.approx(
        {
            "mean": (0.50 + 0.30) / 2,
            "krum": (0.70 + 0.50) / 2,
            "median": (0.70 + 0.50) / 2,
            "bulyan": 0.80,
            "flame": (0.88 + 0.88) / 2,
            "oracle_mean": (0.89 + 0.88) / 2,
        }
    )
    assert table.loc[["mean", "krum", "median"], "worst_adaptive"].tolist() == pytest.approx(
        [(0.40 + 0.20) / 2, (0.60 + 0.10) / 2, (0.70 + 0.50) / 2]
    )
    assert table.loc[["mean", "krum", "median"], "mean_accuracy"].tolist() == pytest.approx(
        [(0.50 + 0.89 + 0.30 + 0.60) / 4, (0.70 + 0.75 + 0.50 + 0.55) / 4, (0.70 + 0.75 + 0.50 + 0.65) / 4]
    )
    # The middle two of the four attacked cells: 50 and 60, 55 and 70, 65 and 70.
    assert table.loc[["mean", "krum", "median"], "iqm_accuracy"].tolist() == pytest.approx(
        [0.55, 0.625, 0.675]
    )
    assert table.loc[["mean", "krum", "bulyan"], "defence_tax"].tolist() == pytest.approx([0.0, 0.10, 0.05])
    # From 90, plain averaging without attack: to 30, to 50, to 80 (bulyan was at 20 % only), to 88.
    assert table.loc[["mean", "krum", "bulyan", "flame"], "max_accuracy_loss"].tolist() == pytest.approx(
        [0.60, 0.40, 0.10, 0.02]
    )
    assert (table["worst_accuracy"] <= table["mean_accuracy"] + 1e-12).all()


def test_ties_share_a_rank_and_holes_have_none(cells):
    table = rows(leaderboard(cells))
    assert table["rank"].dropna().to_dict() == {"krum": 1, "median": 1, "mean": 3}
    assert set(table.index[table["tied"]]) == {"krum", "median"}
    assert table["note"].to_dict() == {
        "oracle_mean": "baseline",
        "krum": "",
        "median": "",
        "mean": "",
        "flame": "1 missing",
        "bulyan": "4 infeasible",
    }
    assert list(table.index[-2:]) == ["flame", "bulyan"]  # not ranked, hence last


def test_infeasible_is_not_missing(cells):
    coverage = rows(leaderboard(cells))["coverage"]
    assert coverage["bulyan"] == "4/4, 4 infeasible"
    assert coverage["flame"] == "7/8"
    assert coverage["krum"] == "8/8"


def test_one_seed_prints_no_interval(cells):
    board = leaderboard(cells)
    assert "n=1, no interval" in board.caption
    assert not [name for name in board.table if name.endswith(("_low", "_high")) and "pr" not in name]
    assert board.score_column == "worst_accuracy"


def test_the_attack_that_does_not_hurt_is_marked_where_it_does_not(cells):
    # alie takes one point from plain averaging at 20 %, thirty at 40 %.
    assert "alie (1 of 2 blocks)" in leaderboard(cells).caption


@pytest.mark.parametrize(
    ("policy", "worst", "ranks"),
    [
        # The lowest accuracy of anybody at 40 % is 10: bulyan (80 + 10) / 2, flame (88 + 10) / 2.
        ("worst", {"bulyan": 0.45, "flame": 0.49},
         {"krum": 1, "median": 1, "flame": 3, "bulyan": 4, "mean": 5}),
        # (80 + 0) / 2 ties with plain averaging; (88 + 0) / 2.
        ("zero", {"bulyan": 0.40, "flame": 0.44},
         {"krum": 1, "median": 1, "flame": 3, "bulyan": 4, "mean": 4}),
    ],
)  # fmt: skip
def test_policies_for_holes(cells, policy, worst, ranks):
    table = rows(leaderboard(cells, policy))
    assert table.loc[list(worst), "worst_accuracy"].to_dict() == pytest.approx(worst)
    assert table["rank"].dropna().to_dict() == ranks
    assert table.loc["bulyan", "coverage"] == "4/4, 4 infeasible, 4 imputed"
    assert table.loc["flame", "coverage"] == "7/8, 1 imputed"
    assert pd.isna(table.loc["oracle_mean", "rank"])


def test_ranks_have_intervals_over_seeds(grid):
    # a and b change places with the seed; c is always last.
    cells = grid({"a": {"ipm": 0.8}, "b": {"ipm": 0.6}, "c": {"ipm": 0.1}}, seed=0)
    cells += grid({"a": {"ipm": 0.6}, "b": {"ipm": 0.8}, "c": {"ipm": 0.2}}, seed=1)
    table = rows(leaderboard(frame(cells)))
    assert table["rank"].to_dict() == {"a": 1, "b": 1, "c": 3}
    assert table["rank_low"].to_dict() == {"a": 1, "b": 1, "c": 3}
    assert table["rank_high"].to_dict() == {"a": 2, "b": 2, "c": 3}
