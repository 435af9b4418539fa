"""Tests of significance and paired differences, by hand."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.pairs import pair_table
from robustbench_fl.analysis.significance import _holm, significance
from robustbench_fl.core.errors import UsageError

pytest.importorskip("scikit_posthocs", reason="needs the extra stats")


SHARES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35)


def seeds(grid, table, n_seeds=4, **changes):
    """The same accuracies in every seed, or ``table(seed)`` in each."""
    rows = table if callable(table) else lambda seed: table
    return [cell for seed in range(n_seeds) for cell in grid(rows(seed), seed=seed, **changes)]


def units(grid, table, n_units=6):
    """The same accuracies under as many shares of malicious clients, in two seeds each."""
    return [cell for share in SHARES[:n_units] for cell in seeds(grid, table, 2, malicious=share)]


ORDERED = {"a": {"ipm": 0.9}, "b": {"ipm": 0.8}, "c": {"ipm": 0.7}, "oracle_mean": {"ipm": 0.95}}


def test_a_constant_order_by_hand(grid):
    found = significance(frame(units(grid, ORDERED)))
    assert found.n_units == 6  # two seeds of a setting are one unit
    rows = found.table.set_index("aggregator")
    assert rows["average_rank"].to_dict() == {"a": 1.0, "b": 2.0, "c": 3.0}
    # chi² = 12·6 / (3·4) · (1 + 4 + 9 − 3·16/4) = 12; p = exp(−12/2) for two degrees of freedom.
    assert found.friedman_p == pytest.approx(np.exp(-6))
    assert "chi² = 12" in found.caption
    assert "The leaderboard has the same rule on top: a." in found.caption
    # Demšar's table 5 has q = 2.343 for three: 2.343 · sqrt(3·4 / (6·6)).
    assert found.critical_difference == pytest.approx(2.343 * np.sqrt(1 / 3), abs=1e-3)
    # a and c are 2 apart, more than 1.35; the others 1.
    assert rows["group"].to_dict() == {"a": "a", "b": "ab", "c": "b"}
    pairs = found.pairs.set_index(["first", "second"])
    assert pairs["difference"].to_dict() == pytest.approx({("a", "b"): 0.1, ("a", "c"): 0.2, ("b", "c"): 0.1})
    # Six differences of one sign: 2 / 2^6; of three pairs, all equally small: three times that.
    assert pairs["wilcoxon_p"].tolist() == [0.03125] * 3
    assert pairs["holm_p"].tolist() == [0.09375] * 3
    assert pairs["wins"].tolist() == [6, 6, 6]


def test_the_worst_attack_or_the_mean_of_attacks_is_ranked(grid):
    table = {"a": {"ipm": 0.9, "alie": 0.1}, "b": {"ipm": 0.4, "alie": 0.4}, "c": {"ipm": 0.3, "alie": 0.3}}
    cells = frame(units(grid, table))
    assert list(significance(cells).table["aggregator"]) == ["b", "c", "a"]
    assert list(significance(cells, "mean").table["aggregator"]) == ["a", "b", "c"]


def test_an_attack_that_does_not_hurt_and_further_strengths_earn_no_credit_in_the_mean(grid):
    table = {
        "mean": {"none": 0.9, "ipm": 0.3, "ipm(epsilon=0.1)": 0.8, "alie": 0.9},
        "b": {"none": 0.9, "ipm": 0.6, "ipm(epsilon=0.1)": 0.6, "alie": 0.6},
        "c": {"none": 0.9, "ipm": 0.5, "ipm(epsilon=0.1)": 0.9, "alie": 0.5},
    }
    cells = units(grid, table)
    for cell in cells:
        cell["facts"]["family"] = cell["labels"]["attack"].split("(")[0]
    rows = significance(frame(cells), "mean").table.set_index("aggregator")
    assert rows["score"].to_dict() == pytest.approx({"b": 0.6, "c": 0.5, "mean": 0.3})


def test_rules_that_always_tie_differ_from_nobody(grid):
    found = significance(frame(units(grid, {rule: {"ipm": 0.5} for rule in "abc"})))
    assert np.isnan(found.friedman_p)
    assert "all rules always tie" in found.caption
    assert list(found.table["group"]) == ["a", "a", "a"]
    assert found.pairs["holm_p"].tolist() == [1.0] * 3


def test_a_rule_with_a_hole_or_infeasible_somewhere_is_left_out_by_name(grid, record):
    cells = units(grid, {**ORDERED, "d": {"ipm": 0.99}})
    cells = [c for c in cells if not (c["labels"]["aggregator"] == "d" and c["cell"]["malicious"] == 0.1)]
    cells += [
        record("bulyan", "ipm", status="infeasible", seed=seed, malicious=share)
        for seed in range(2)
        for share in SHARES
    ]
    found = significance(frame(cells))
    assert list(found.table["aggregator"]) == ["a", "b", "c"]
    assert "Left out for lack of cells: bulyan, d." in found.caption


def test_an_attack_that_is_infeasible_for_every_rule_leaves_nobody_out(grid, record):
    cells = units(grid, ORDERED)
    beyond = [
        record(rule, "alie", None, status="infeasible", seed=s, malicious=share)
        for rule in ORDERED
        for s in range(2)
        for share in SHARES
    ]
    alone, both = significance(frame(cells)), significance(frame([*cells, *beyond]))
    assert both.table.equals(alone.table)
    assert "Left out" not in both.caption


def test_too_little_to_test_is_said_with_numbers(grid):
    with pytest.raises(UsageError, match="found 2 rules and 6 units"):
        significance(frame(units(grid, {"a": {"ipm": 0.5}, "b": {"ipm": 0.4}})))
    with pytest.raises(UsageError, match=r"3 rules and 5 units\. More seeds are no further units"):
        significance(frame(units(grid, ORDERED, 5)))
    with pytest.raises(UsageError, match="found 0 rules and 0 units"):
        significance(frame([]))
    with pytest.raises(UsageError, match="Did you mean worst"):
        significance(frame(seeds(grid, ORDERED)), "worts")


def test_without_the_extra_the_message_says_what_to_install(grid, monkeypatch):
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    with pytest.raises(UsageError, match=r"pip install 'robustbench-fl\[stats\]'"):
        significance(frame(seeds(grid, ORDERED)))


def test_holms_correction_is_that_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = np.random.default_rng(0).random(20) ** 3
    assert _holm(pd.Series(p_values)).to_numpy() == pytest.approx(
        multitest.multipletests(p_values, method="holm")[1]
    )


def test_another_rule_on_top_than_in_the_leaderboard_is_explained(grid):
    # b wins five settings by a point; a wins one by thirty.
    cells = []
    for place, share in enumerate(SHARES):
        row = {"a": {"ipm": 0.9 if place == 0 else 0.59}, "b": {"ipm": 0.6}, "c": {"ipm": 0.1}}
        cells += seeds(grid, row, 2, malicious=share)
    found = significance(frame(cells))
    assert found.table["aggregator"].tolist() == ["b", "a", "c"]
    assert "The leaderboard has a on top, not b: it averages accuracies" in found.caption


def test_the_diagram_is_a_picture(grid):
    from robustbench_fl.report.critical import critical_difference

    found = significance(frame(units(grid, ORDERED)))
    drawn = critical_difference(found)
    assert drawn.startswith(b"\x89PNG")
    assert drawn == critical_difference(found)


def test_gains_by_hand(grid):
    table = {"mean": {"none": 0.9, "ipm": 0.5, "alie": 0.8}, "krum": {"none": 0.8, "ipm": 0.7, "alie": 0.7}}
    found = pair_table(frame(grid(table)))
    (row,) = found.table.to_dict("records")
    # Worst 0.7 against 0.5; attacked 0.7 against 0.65; clean 0.8 against 0.9.
    assert (row["worst_gain"], row["mean_gain"], row["clean_gain"]) == pytest.approx((0.2, 0.05, -0.1))
    assert (row["wins"], row["ties"], row["losses"], row["shared"]) == (1, 0, 1, "2/2")
    assert np.isnan(row["worst_gain_low"])
    assert "n=1, no interval" in found.caption


def test_gains_are_paired_over_seeds_and_blocks_that_one_lacks_are_left_out(grid, record):
    # Over seeds the accuracies spread by 30 points, the gain by 2.
    def table(seed):
        level = 0.4 + 0.1 * seed
        gain = 0.05 + 0.01 * (seed % 2)
        return {"mean": {"ipm": level}, "krum": {"ipm": level + gain}}

    cells = seeds(grid, table, malicious=0.2) + seeds(grid, lambda s: {"mean": {"ipm": 0.9}}, malicious=0.4)
    cells += [record("krum", "ipm", malicious=0.4, status="infeasible", seed=seed) for seed in range(4)]
    (row,) = pair_table(frame(cells)).table.to_dict("records")
    assert (row["mean_gain"], row["worst_gain"]) == pytest.approx((0.055, 0.055))
    # Gains of 5 and 6 points in two seeds each: t(0.975, 3) · 0.005774 / 2 = 0.009187.
    for name in ("mean_gain", "worst_gain"):
        assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx((0.045813, 0.064187), abs=1e-6)
    assert row["shared"] == "4/8"
    assert row["verdict"] == "better"
    assert 2 <= row["seeds_fewest"] <= row["seeds_most"] <= 4


def test_gains_stand_on_attacks_that_some_rule_can_meet(grid, record):
    cells = seeds(grid, {"mean": {"ipm": 0.5}, "krum": {"ipm": 0.7}})
    beyond = [
        record(rule, "alie", None, status="infeasible", seed=s)
        for rule in ("mean", "krum")
        for s in (0, 1, 2, 3)
    ]
    assert pair_table(frame([*cells, *beyond])).table.equals(pair_table(frame(cells)).table)


def test_an_unknown_reference_is_refused(grid):
    with pytest.raises(UsageError, match="Did you mean mean"):
        pair_table(frame(grid({"mean": {"ipm": 0.5}, "krum": {"ipm": 0.5}})), "maen")
    with pytest.raises(UsageError, match="No other rule has a block"):
        pair_table(frame(grid({"mean": {"ipm": 0.5}})))
