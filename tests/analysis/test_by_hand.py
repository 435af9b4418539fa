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
    return frame(of_seed(record, 0))


@pytest.fixture
def five_seeds(record):
    """The same in each of five seeds: without any spread every difference is beyond doubt."""
    return frame([cell for seed in range(5) for cell in of_seed(record, seed)])


def of_seed(record, seed):
    found = [record("bulyan", attack, malicious=0.4, status="infeasible", seed=seed) for attack in ATTACKS]
    for malicious, table in ((0.2, TWENTY), (0.4, FORTY)):
        for rule, row in table.items():
            for attack, percent in zip(ATTACKS, row, strict=True):
                status = "missing" if percent is None else "done"
                share = None if percent is None else percent / 100
                found.append(record(rule, attack, share, malicious=malicious, status=status, seed=seed))
    return found


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
        # alie does not hurt plain averaging at 20 %, so it is left out there; blocks weigh alike.
        [(0.50 + (0.30 + 0.60) / 2) / 2, (0.70 + (0.50 + 0.55) / 2) / 2, (0.70 + (0.50 + 0.65) / 2) / 2]
    )
    # The middle half of three: the middle one whole, its neighbours by a quarter each.
    assert table.loc[["mean", "krum", "median"], "iqm_accuracy"].tolist() == pytest.approx(
        [(0.30 / 4 + 0.50 + 0.60 / 4) / 1.5, (0.50 / 4 + 0.55 + 0.70 / 4) / 1.5,
         (0.50 / 4 + 0.65 + 0.70 / 4) / 1.5]
    )  # fmt: skip
    assert table.loc[["mean", "krum", "bulyan"], "defence_tax"].tolist() == pytest.approx([0.0, 0.10, 0.05])
    # From 90, plain averaging without attack: to 30, to 50, to 80 (bulyan was at 20 % only), to 88.
    assert table.loc[["mean", "krum", "bulyan", "flame"], "max_accuracy_loss"].tolist() == pytest.approx(
        [0.60, 0.40, 0.10, 0.02]
    )
    assert (table["worst_accuracy"] <= table["mean_accuracy"] + 1e-12).all()


def test_each_track_is_ranked_alone_and_holes_have_no_rank(five_seeds):
    table = rows(leaderboard(five_seeds))
    assert table["track"].to_dict() == {
        "median": "A", "mean": "A", "flame": "A", "krum": "B", "bulyan": "B", "oracle_mean": "",
    }  # fmt: skip
    assert list(table.index) == list(table["track"].to_dict())  # what is not ranked is last in its track
    assert table["rank"].dropna().to_dict() == {"median": 1, "mean": 2, "krum": 1}
    assert table["note"].to_dict() == {
        "oracle_mean": "baseline", "krum": "", "median": "", "mean": "", "flame": "5 missing",
        "bulyan": "20 infeasible",
    }  # fmt: skip


def test_a_track_shows_the_best_of_those_below_it_and_the_baselines(five_seeds):
    board = leaderboard(five_seeds).of_track("B")
    table = rows(board)
    assert list(table.index) == ["oracle_mean", "krum", "median", "bulyan"]
    assert table["note"].to_dict() == {
        "oracle_mean": "baseline", "median": "best of track A", "krum": "", "bulyan": "20 infeasible",
    }  # fmt: skip
    assert table["rank"].dropna().to_dict() == {"krum": 1}


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
         {"krum": 1, "bulyan": 2, "median": 1, "flame": 2, "mean": 3}),
        # (80 + 0) / 2 ties with plain averaging; (88 + 0) / 2.
        ("zero", {"bulyan": 0.40, "flame": 0.44},
         {"krum": 1, "bulyan": 2, "median": 1, "flame": 2, "mean": 3}),
    ],
)  # fmt: skip
def test_policies_for_holes(five_seeds, policy, worst, ranks):
    table = rows(leaderboard(five_seeds, policy))
    assert table.loc[list(worst), "worst_accuracy"].to_dict() == pytest.approx(worst)
    assert table["rank"].dropna().to_dict() == ranks
    assert table.loc["bulyan", "coverage"] == "20/20, 20 infeasible, 20 imputed"
    assert table.loc["flame", "coverage"] == "35/40, 5 imputed"
    assert pd.isna(table.loc["oracle_mean", "rank"])


def test_ranks_have_intervals_over_seeds(grid):
    # a and b change places with the seed; c is always last.
    cells = []
    for seed, gain in enumerate([0.05, -0.05, 0.04, -0.02, 0.01]):
        cells += grid({"a": {"ipm": 0.7 + gain}, "b": {"ipm": 0.7}, "c": {"ipm": 0.2 + gain / 2}}, seed=seed)
    table = rows(leaderboard(frame(cells)))
    assert table["rank"].to_dict() == {"a": 1, "b": 1, "c": 3}
    assert table["tied"].to_dict() == {"a": True, "b": True, "c": False}
    assert table["rank_low"].to_dict() == {"a": 1, "b": 1, "c": 3}
    assert table["rank_high"].to_dict() == {"a": 2, "b": 2, "c": 3}
