"""Two folders compared: differences, refusals and regressions, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from robustbench_fl.analysis import power
from robustbench_fl.analysis.badge import badge
from robustbench_fl.analysis.compare import ALL, compare
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.core.errors import UsageError

ROW = {"mean": {"none": 0.9, "ipm": 0.5}, "krum": {"none": 0.8, "ipm": 0.7}}


def moved(grid, shift, seeds=(0,), **changes):
    """ROW in every seed, moved by ``shift[rule][place of the seed]``."""
    return [
        cell
        for place, seed in enumerate(seeds)
        for rule, row in ROW.items()
        for cell in grid({rule: {a: v + shift[rule][place] for a, v in row.items()}}, seed=seed, **changes)
    ]


ZERO = {"mean": [0.0] * 5, "krum": [0.0] * 5}


def test_one_seed_by_hand(grid):
    found = compare(moved(grid, ZERO), moved(grid, {"mean": [0.02], "krum": [-0.04]}))
    rows = found.table.set_index("aggregator")
    assert list(rows.index) == ["krum", "mean", ALL]
    assert rows["accuracy_delta"].tolist() == pytest.approx([-0.04, 0.02, -0.01])
    assert rows[["wins", "ties", "losses"]].to_numpy().tolist() == [[0, 0, 2], [2, 0, 0], [2, 0, 2]]
    assert rows["accuracy_delta_low"].isna().all()
    assert "no interval" in found.caption
    assert rows[["seeds_fewest", "seeds_most"]].isna().all(axis=None)
    # Without an interval a difference counts as it is.
    assert [sentence.split(":")[0] for sentence in found.regressions] == ["krum", ALL]


def test_differences_are_paired_over_seeds(grid):
    # The accuracies spread by 20 points over seeds; the difference, paired, is 2 to 4 points.
    spread = np.array([-0.1, 0.1, 0.0, 0.05, -0.05])
    before = dict.fromkeys(ROW, spread)
    after = {"mean": spread, "krum": spread - np.array([0.02, 0.03, 0.04, 0.03, 0.03])}
    found = compare(moved(grid, before, range(5)), moved(grid, after, range(5)))
    krum = found.table.set_index("aggregator").loc["krum"]
    assert krum["accuracy_delta"] == pytest.approx(-0.03)
    # Mean −0.03, spread 0.00707 over five seeds: t(0.975, 4) · 0.00707 / √5 = 0.00878.
    assert (krum["accuracy_delta_low"], krum["accuracy_delta_high"]) == pytest.approx(
        (-0.03878, -0.02122), abs=1e-5
    )
    assert len(found.regressions) == 2  # krum, and with it all rules
    assert found.regressions[0].startswith("krum: accuracy -0.03 [-0.03")
    # An effect of 4.24 is seen with three seeds; it may be larger or smaller.
    assert 2 <= krum["seeds_fewest"] <= 3 <= krum["seeds_most"] < 10
    assert (
        compare(moved(grid, before, range(5)), moved(grid, after, range(5)), tolerance=0.05).regressions == ()
    )


def test_rows_that_differ_by_chance_are_no_regressions(grid):
    # Each of twenty rules moves by noise alone. One by one, one of twenty would be called worse.
    noise = np.random.default_rng(2).normal(0, 0.02, (20, 5))
    before, after = [], []
    for rule, row in enumerate(noise):
        for seed, move in enumerate(row):
            before += grid({f"rule{rule}": {"ipm": 0.5}}, seed=seed)
            after += grid({f"rule{rule}": {"ipm": 0.5 + move}}, seed=seed)
    found = compare(before, after)
    assert (found.table["accuracy_delta_high"] < 0).any()  # an interval by itself says so
    assert found.regressions == ()


def test_lower_is_better_turns_wins_and_regressions_round(grid):
    slower = moved(grid, ZERO)
    for cell in slower:
        cell["costs"]["aggregate_seconds"] *= 2
    found = compare(moved(grid, ZERO), slower, "server_ms")
    assert found.table["losses"].tolist() == [2, 2, 4]
    assert found.table["server_ms_delta"].tolist() == pytest.approx([2.5, 2.5, 2.5])
    assert len(found.regressions) == 3


def test_small_differences_are_ties_within_the_tolerance(grid):
    found = compare(moved(grid, ZERO), moved(grid, {"mean": [0.004], "krum": [-0.02]}), tolerance=0.005)
    rows = found.table.set_index("aggregator")
    assert rows.loc["mean", ["wins", "ties", "losses"]].tolist() == [0, 2, 0]
    assert rows.loc["krum", ["wins", "ties", "losses"]].tolist() == [0, 0, 2]


def test_cells_in_one_folder_only_are_counted_by_rule(grid, record):
    first = [*moved(grid, ZERO), record("median", "ipm", 0.5)]
    second = [*moved(grid, ZERO), record("flame", "ipm", 0.5), record("flame", "none", 0.5, fpr=0.0)]
    found = compare(first, second)
    assert "only in A: 1 (median 1); only in B: 2 (flame 2)" in found.caption
    assert found.only_a == (first[-1]["key"],)
    assert len(found.only_b) == 2


def test_a_cell_that_fails_now_is_a_regression_and_a_missing_one_is_not(grid, record):
    first = moved(grid, ZERO)
    kept = [
        cell for cell in first if cell["labels"] != {**cell["labels"], "aggregator": "krum", "attack": "ipm"}
    ]
    failed = compare(first, [*kept, record("krum", "ipm", status="failed")])
    assert failed.regressions == ("krum: 1 cells that A finished are failed in B",)
    assert "unfinished in B: 1 (krum 1)" in failed.caption
    missing = compare(first, [*kept, record("krum", "ipm", status="missing")])
    assert missing.regressions == ()


@pytest.mark.parametrize(
    "changes", [{"clients": 20}, {"root_size": 50}, {"validation": 0.2}, {"partition": "iid"}, {"lr": 0.5}]
)
def test_different_worlds_are_refused_unless_forced(grid, changes):
    first, second = moved(grid, ZERO), moved(grid, ZERO, **changes)
    (name,) = changes
    with pytest.raises(UsageError, match=f"different worlds: {name} .* against .*--force"):
        compare(first, second)
    found = compare(first, second, force=True)
    assert found.table["accuracy_delta"].tolist() == [0.0, 0.0, 0.0]
    assert f"Forced although they differ in: {name}" in found.caption


def test_a_setting_at_its_default_is_the_same_whether_a_folder_states_it_or_not(grid):
    # A frame states the server's optimiser for all cells as soon as one of them has another than the default.
    first, default = moved(grid, ZERO), moved(grid, ZERO)
    other = moved(grid, {"mean": [0.3], "krum": [0.3]}, server="momentum(beta=0.9)")
    for a, b in ((first, [*default, *other]), ([*default, *other], first)):
        assert compare(a, b).table["accuracy_delta"].tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(UsageError, match=r"server sgd against momentum\(beta=0.9\)"):
        compare(first, other)


def test_the_same_name_for_other_data_is_another_world(grid):
    first, second = moved(grid, ZERO), moved(grid, ZERO)
    for cell in second:
        cell["cell"]["dataset"] = {**cell["cell"]["dataset"], "params": {"digest": "abc"}}
    with pytest.raises(UsageError, match="same names but different worlds"):
        compare(first, second)
    assert len(compare(first, second, force=True).table) == 3


def test_another_version_of_a_rule_or_of_the_engine_is_compared_and_named(grid):
    first, second = moved(grid, ZERO), moved(grid, {"mean": [0.0], "krum": [-0.1]})
    for cell in second:
        cell["key"] = cell["key"][::-1]
        cell["cell"]["engine"] = 2
        cell["provenance"]["commit"] = "0123"
        if cell["labels"]["aggregator"] == "krum":
            cell["cell"]["aggregator"] = {"name": "krum", "version": 2, "params": {}}
    for cell in first:
        cell["cell"]["engine"] = 1
    found = compare(first, second)
    assert "0 of them with the same key" in found.caption
    assert "Differs between the two: commit, engine version." in found.caption
    assert "Other versions or defaults of: krum." in found.caption


def test_without_a_common_seed_nothing_is_paired(grid):
    first = moved(grid, {"mean": [0.0, 0.1], "krum": [0.0, 0.0]}, (0, 1))
    second = moved(grid, {"mean": [0.0, 0.1], "krum": [0.0, 0.0]}, (2, 3))
    with pytest.raises(UsageError, match="seed 0, 1 against 2, 3"):
        compare(first, second)
    found = compare(first, second, force=True)
    mean = found.table.set_index("aggregator").loc["mean"]
    # Welch: two variances of 0.005 over two seeds each; t(0.975, 2) · √0.005 = 0.3042.
    assert (mean["accuracy_delta_low"], mean["accuracy_delta_high"]) == pytest.approx(
        (-0.3042, 0.3042), abs=1e-4
    )
    assert "not paired" in found.caption
    assert mean[["wins", "ties", "losses"]].tolist() == [0, 2, 0]


def test_a_setting_left_out_must_leave_one_cell_a_place(grid):
    first = moved(grid, ZERO)
    second = [cell for lr in (0.5, 0.6) for cell in moved(grid, ZERO, lr=lr)]
    with pytest.raises(UsageError, match="second folder has several cells for one place once lr"):
        compare(first, second, force=True)
    with pytest.raises(UsageError, match="first folder has several cells for one place once lr"):
        compare(second, moved(grid, ZERO, seeds=[7]), force=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"value": "acuracy"}, "Did you mean accuracy"), ({"tolerance": -0.1}, "not be negative"),
     ({"tolerance": float("nan")}, "not be negative"), ({"value": "tpr"}, "No cell has tpr")],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(grid, options, said):
    with pytest.raises(UsageError, match=said):
        compare(moved(grid, ZERO), moved(grid, ZERO), **options)


def test_folders_without_a_common_cell_are_refused(grid, record):
    with pytest.raises(UsageError, match="rules krum, mean against flame"):
        compare(moved(grid, ZERO), [record("flame", "ipm", 0.5)])
    with pytest.raises(UsageError, match="second folder holds no cell"):
        compare(moved(grid, ZERO), [])


@pytest.mark.parametrize("effect", [0.3, 0.5, 0.8, 1.2, 2.5])
def test_the_power_is_that_of_statsmodels(effect):
    smp = pytest.importorskip("statsmodels.stats.power")
    reference = smp.TTestPower()
    for n in (2, 5, 20):
        expected = reference.power(effect, n, 0.05, alternative="two-sided")
        if not np.isnan(expected):  # as with a very large effect and many seeds
            assert power.power_of(n, effect) == pytest.approx(expected, abs=1e-6)
    needed = int(np.ceil(reference.solve_power(effect, power=0.8, alpha=0.05)))
    differences = np.array([effect - 1, effect, effect + 1])  # mean `effect`, standard deviation 1
    assert power.seeds_needed(differences) == needed


def test_no_difference_needs_no_number_of_seeds():
    assert power.seeds_needed(np.array([0.1, -0.1])) is None
    assert power.seeds_needed(np.array([0.1, 0.1])) == 2
    assert power.seeds_needed(np.array([1.0, -0.999])) is None  # an effect of 0.0004


def test_a_badge_says_who_leads_and_what_is_missing(grid, record):
    cells = frame(moved(grid, ZERO, range(5)))
    found = badge(cells, leaderboard(cells))
    assert found["schemaVersion"] == 1
    assert found["message"] == "worst case A: mean 50.0 %; B: krum 70.0 %"
    assert (found["color"], found["score"]) == ("brightgreen", 0.7)
    assert found["best"] == {"A": ["mean"], "B": ["krum"]}
    assert (found["cells"], found["planned"], found["coverage"]) == (20, 20, 1.0)
    holes = frame([*moved(grid, ZERO, range(5)), record("flame", "ipm", status="missing")])
    found = badge(holes, leaderboard(holes))
    assert found["message"] == "worst case A: mean 50.0 %; B: krum 70.0 %, 20/21 cells"
    assert found["color"] == "yellow"
    nothing = frame([record("mean", "ipm", status="missing")])
    found = badge(nothing, leaderboard(nothing))
    assert (found["message"], found["color"], found["score"]) == (
        "no ranked rule, 0/1 cells",
        "lightgrey",
        None,
    )


def test_without_common_seeds_regressions_are_corrected_for_the_number_of_rows(grid):
    spread = [-0.02, -0.01, 0.0, 0.01, 0.02]
    before = moved(grid, dict.fromkeys(ROW, spread), range(5))

    def regressions(loss, seeds=range(10, 15)):
        krum = [value - loss for value in spread]
        after = moved(grid, {"mean": spread, "krum": krum}, seeds)
        return compare(before, after, force=True)

    # Standard error 0.01, eight degrees of freedom: p = 0.037 for t = 2.5, of three rows.
    assert not regressions(0.025).regressions
    assert [text.split(":")[0] for text in regressions(0.05).regressions] == ["krum"]
    alone = regressions(0.3, [10])
    assert not alone.regressions
    assert "One folder has one seed: no interval, and nothing counts as a regression." in alone.caption
