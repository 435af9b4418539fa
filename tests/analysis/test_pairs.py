"""Gains are differences of two rows of the leaderboard, by hand and on committed cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.inference import mean_difference, mean_interval
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.analysis.pairs import pair_table
from robustbench_fl.core.image_counts import packed
from robustbench_fl.store import Store

SMOKE = Path(__file__).parents[2] / "results" / "rbfl-1-smoke" / "a0.1-m0.3"
SCORES = {"worst_gain": "worst_accuracy", "mean_gain": "mean_accuracy", "clean_gain": "clean_accuracy"}


def difference_from_the_leaderboard(cells: pd.DataFrame, against: str = "mean") -> tuple[pd.DataFrame, float]:
    """Return the gains by rule, and the largest distance of gain + reference from the rule's own score."""
    gains = pair_table(cells, against).table.set_index("aggregator")
    board = leaderboard(cells).table.set_index("aggregator")
    gaps = [
        (gains[gain] + board.loc[against, score] - board.loc[gains.index, score]).abs().max()
        for gain, score in SCORES.items()
    ]
    return gains, max(gaps)


def test_a_gain_counts_the_blocks_attacks_and_families_that_the_leaderboard_counts(grid):
    table = {
        "mean": {"none": 0.9, "ipm": 0.3, "ipm(epsilon=0.1)": 0.8, "mimic": 0.4, "alie": 0.9},
        "krum": {"none": 0.8, "ipm": 0.6, "ipm(epsilon=0.1)": 0.7, "mimic": 0.7, "alie": 0.1},
    }
    idle = {rule: {**dict.fromkeys(row, 0.9), "none": 0.9} for rule, row in table.items()}
    cells = [cell for s in range(2) for cell in grid(table, seed=s) + grid(idle, seed=s, malicious=0.1)]
    for cell in cells:
        cell["facts"]["family"] = cell["labels"]["attack"].split("(")[0]
    gains, gap = difference_from_the_leaderboard(frame(cells))
    assert gap < 1e-12
    # alie hurts nobody but krum, and no attack hurts anybody at 10 %: means of 0.6 and 0.7, 0.3 and 0.4.
    assert gains.loc["krum", list(SCORES)].tolist() == pytest.approx([0.1 - 0.3, 0.65 - 0.35, -0.1])
    assert gains.loc["krum", "shared"] == "8/8"
    caption = pair_table(frame(cells)).caption
    assert "Left out: 1 block in which no attack hurts any rule." in caption
    assert "alie (all 2 blocks)" in caption
    assert "several members: ipm." in caption


def test_gains_are_differences_of_committed_rows():
    rules = ("mean", "median", "krum", "fltrust")  # a pilot picked other strengths for each
    records = [one for one in Store.existing(SMOKE).records() if one["labels"]["aggregator"] in rules]
    gains, gap = difference_from_the_leaderboard(frame(records), "median")
    assert len(gains) == 3
    assert gap < 1e-12


def test_each_rule_is_averaged_over_its_own_attacks():
    values = np.random.default_rng(3).random((2, 2, 3, 4))
    values[0, 0, 1] = values[1, 1, 0] = np.nan
    gap, low, high = mean_difference(values)
    first, second = (np.nanmean(side, axis=1).mean(axis=0) for side in values)
    assert gap == pytest.approx(mean_interval(values[0])[0] - mean_interval(values[1])[0])
    spread = t.ppf(0.975, 3) * (first - second).std(ddof=1) / 2
    assert (low, high) == pytest.approx((gap - spread, gap + spread))
    values[1, 0] = np.nan  # a world that only one has
    assert mean_difference(values) == pytest.approx(mean_difference(values[:, 1:]))
    values[0, 1] = np.nan
    assert np.isnan(mean_difference(values)).all()


def test_images_count_in_the_intervals_of_means_where_they_are_not_hard_for_both(record):
    # Of four images the rule alone classifies the first, both the second, in both seeds: a gain of 1/4
    # without any spread over seeds. MS_image of the paired differences 1, 0, 0, 0 is 2 · 1/4, so that
    # V = (1/2) / (2 · 4) = 1/16 with 3 degrees of freedom.
    def told(rule: str, attack: str, correct: list[int], seed: int):
        stored = {"images": 4, "evaluations": 1, "packed": packed(np.array(correct), 1)}
        return {**record(rule, attack, sum(correct) / 4, seed=seed), "image_counts": stored}

    cells = [
        told(rule, attack, correct, seed)
        for seed in (0, 1)
        for attack in ("none", "ipm")
        for rule, correct in (("krum", [1, 1, 0, 0]), ("mean", [0, 1, 0, 0]))
    ]
    (row,) = pair_table(frame(cells)).table.to_dict("records")
    reach = t.ppf(0.975, 3) / 4
    for name in SCORES:
        assert [row[f"{name}{end}"] for end in ("", "_low", "_high")] == pytest.approx(
            [0.25, 0.25 - reach, 0.25 + reach]
        )
    for cell in cells:
        del cell["image_counts"]
    (row,) = pair_table(frame(cells)).table.to_dict("records")
    assert row["mean_gain_low"] == pytest.approx(0.25)
