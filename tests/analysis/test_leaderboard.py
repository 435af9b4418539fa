import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.core.errors import UsageError

BASIC = {
    "mean": {"none": 0.9, "ipm": 0.5, "alie": 0.89},
    "krum": {"none": 0.8, "ipm": 0.7, "alie": 0.6},
    "oracle_mean": {"none": 0.9, "ipm": 0.88, "alie": 0.87},
}


def rows(board):
    return board.table.set_index("aggregator")


def test_one_seed_by_hand(grid):
    board = leaderboard(frame(grid(BASIC)))
    table = rows(board)
    assert list(table.index) == ["mean", "krum", "oracle_mean"]
    assert table["track"].tolist() == ["A", "B", ""]
    assert table["rank"].isna().all()
    assert "No ranks: they need 5 seeds." in board.caption
    krum = table.loc["krum"]
    assert krum["worst_accuracy"] == pytest.approx(0.6)
    assert krum["worst_attack"] == "alie"
    assert krum["mean_accuracy"] == pytest.approx(0.7)  # alie does not hurt plain averaging
    assert krum["clean_accuracy"] == pytest.approx(0.8)
    assert krum["defence_tax"] == pytest.approx(0.1)
    assert krum["coverage"] == "3/3"
    assert krum["told"] == "f"
    assert table.loc["oracle_mean", "note"] == "baseline"
    assert board.score_column == "worst_accuracy"
    assert board.rank_column == "rank"


def test_one_seed_has_no_interval_and_says_so(grid):
    board = leaderboard(frame(grid(BASIC)))
    assert "n=1, no interval" in board.caption
    assert not [name for name in board.table if name in ("worst_low", "mean_low", "worst_left_out")]


def test_an_attack_that_does_not_hurt_is_named(grid):
    board = leaderboard(frame(grid(BASIC)))
    assert "alie (1 of 1 block)" in board.caption  # 0.90 - 0.89: one point
    assert "ipm (" not in board.caption
    assert board.effects.set_index("attack")["drop"]["ipm"] == pytest.approx(0.4)


def test_a_backdoor_hurts_by_its_success(grid, record):
    cells = [*grid(BASIC), record("mean", "dba", 0.9, attack_success=0.8)]
    cells += [record(rule, "dba", 0.8, attack_success=0.1) for rule in ("krum", "oracle_mean")]
    board = leaderboard(frame(cells))
    assert "dba (" not in board.caption
    assert rows(board).loc["mean", "attack_success"] == pytest.approx(0.8)


def test_worst_is_per_block_then_averaged(grid):
    cells = grid({"mean": {"none": 0.9, "a": 0.2, "b": 0.8}}, malicious=0.1)
    cells += grid({"mean": {"none": 0.9, "a": 0.7, "b": 0.4}}, malicious=0.3)
    row = rows(leaderboard(frame(cells))).loc["mean"]
    assert row["worst_accuracy"] == pytest.approx((0.2 + 0.4) / 2)
    assert row["mean_accuracy"] == pytest.approx(0.525)
    assert row["worst_attack"] == "a"  # one block each: the lower accuracy decides


def test_worst_is_over_means_over_seeds(grid):
    cells = grid({"mean": {"none": 0.9, "a": 0.1, "b": 0.4}}, seed=0)
    cells += grid({"mean": {"none": 0.9, "a": 0.9, "b": 0.4}}, seed=1)
    assert rows(leaderboard(frame(cells))).loc["mean", "worst_accuracy"] == pytest.approx(0.4)


def test_fraction_zero_does_not_dilute_clean_accuracy_and_tax(grid):
    cells = grid(BASIC) + grid({rule: {"none": 0.7} for rule in BASIC}, malicious=0.0)
    board = leaderboard(frame(cells))
    krum = rows(board).loc["krum"]
    assert krum["clean_accuracy"] == pytest.approx(0.8)
    assert krum["worst_accuracy"] == pytest.approx(0.6)
    assert krum["defence_tax"] == pytest.approx(0.1)
    assert "2 blocks (1 without malicious clients" in board.caption


def test_adaptive_attacks_stand_apart(grid):
    cells = grid({rule: {**row, "adaptive_min_max": 0.3} for rule, row in BASIC.items()})
    krum = rows(leaderboard(frame(cells))).loc["krum"]
    assert krum["worst_accuracy"] == pytest.approx(0.6)
    assert krum["mean_accuracy"] == pytest.approx(0.7)
    assert krum["worst_adaptive"] == pytest.approx(0.3)
    assert "worst_adaptive" not in leaderboard(frame(grid(BASIC))).table


@pytest.mark.parametrize("status", ["missing", "failed", "timeout"])
def test_a_hole_is_shown_and_not_ranked(grid, record, status):
    cells = grid(BASIC) + grid({"median": {"none": 0.9, "ipm": 0.99}})
    cells.append(record("median", "alie", status=status))
    table = rows(leaderboard(frame(cells)))
    assert list(table.index[table["track"] == "A"]) == ["mean", "median"]  # 0.5 in whole, 0.99 with a hole
    assert pd.isna(table.loc["median", "rank"])
    assert table.loc["median", "note"] == f"1 {status}"
    assert table.loc["median", "coverage"] == "2/3"


def test_a_cell_that_was_never_planned_is_a_hole_too(grid):
    cells = grid(BASIC) + grid({"median": {"none": 0.9, "ipm": 0.99}})
    row = rows(leaderboard(frame(cells))).loc["median"]
    assert row["coverage"] == "2/3"
    assert row["note"] == "1 missing"


def test_infeasible_is_not_missing(grid, record):
    cells = grid(BASIC, malicious=0.1) + grid(BASIC, malicious=0.4)
    cells += grid({"bulyan": BASIC["oracle_mean"]}, malicious=0.1)
    cells += [record("bulyan", attack, malicious=0.4, status="infeasible") for attack in BASIC["mean"]]
    row = rows(leaderboard(frame(cells))).loc["bulyan"]
    assert row["coverage"] == "3/3, 3 infeasible"
    assert row["note"] == "3 infeasible"
    assert pd.isna(row["rank"])
    assert row["worst_accuracy"] == pytest.approx(0.87)


def test_an_attack_infeasible_for_all_compares_nobody(grid, record):
    cells = [cell for seed in range(5) for cell in grid(BASIC, seed=seed)]
    cells += [record(rule, "byzmean", status="infeasible", seed=seed) for rule in BASIC for seed in range(5)]
    table = rows(leaderboard(frame(cells)))
    assert table.loc["krum", "rank"] == 1
    assert table.loc["krum", "coverage"] == "15/15, 5 infeasible"


@pytest.mark.parametrize(("policy", "worst"), [("worst", 0.5), ("zero", 0.0)])
def test_policies_fill_holes_and_mark_them(grid, record, policy, worst):
    cells = [
        cell
        for seed in range(5)
        for cell in (
            *grid(BASIC, seed=seed),
            *grid({"median": {"none": 0.9, "ipm": 0.99}}, seed=seed),
            record("median", "alie", status="failed", seed=seed),
        )
    ]
    board = leaderboard(frame(cells), policy)
    row = rows(board).loc["median"]
    assert row["worst_accuracy"] == pytest.approx(worst)
    assert row["coverage"] == "10/15, 5 imputed"
    assert row["imputed"] == 5
    assert row["rank"] == {"worst": 1, "zero": 2}[policy]  # mean has 0.5: a tie, and a lead
    assert f"Missing cells ({policy})" in board.caption


def test_an_unknown_policy_is_refused(grid):
    with pytest.raises(UsageError, match="Did you mean worst"):
        leaderboard(frame(grid(BASIC)), "worts")


def test_diverged_counts_with_its_accuracy(grid, record):
    cells = grid({"mean": {"none": 0.9, "ipm": 0.5}, "krum": {"none": 0.9}})
    cells.append(record("krum", "ipm", 0.1, status="diverged"))
    row = rows(leaderboard(frame(cells))).loc["krum"]
    assert row["worst_accuracy"] == pytest.approx(0.1)
    assert row["diverged"] == 1
    assert "diverged" not in leaderboard(frame(grid(BASIC))).table


def test_equal_scores_share_a_rank(grid):
    accuracies = {
        "a": {"none": 0.9, "ipm": 0.6},
        "b": {"none": 0.9, "ipm": 0.6},
        "c": {"none": 0.9, "ipm": 0.5},
    }
    cells = [cell for seed in range(5) for cell in grid(accuracies, seed=seed)]
    table = rows(leaderboard(frame(cells)))
    assert table["rank"].tolist() == [1, 1, 3]
    assert table["tied"].tolist() == [True, True, False]


def several(grid, accuracies, noise, n_seeds=5):
    """The same accuracies in five seeds, moved by `noise[rule][seed]`."""
    return [
        cell
        for seed in range(n_seeds)
        for rule, row in accuracies.items()
        for cell in grid(
            {rule: {attack: value + noise[rule][seed] for attack, value in row.items()}}, seed=seed
        )
    ]


def test_ties_are_paired_over_seeds(grid):
    # All seeds share a large noise: paired, b is surely 2 points below a, and c is not.
    shared = np.array([-0.2, -0.1, 0.0, 0.1, 0.05])
    noise = {"a": shared, "b": shared - 0.02, "c": shared + np.array([0.03, -0.04, 0.02, -0.03, 0.01])}
    accuracies = {rule: {"none": 0.6, "ipm": 0.5} for rule in noise}
    board = leaderboard(frame(several(grid, accuracies, noise)))
    table = rows(board)
    assert table.loc["a", "rank"] == table.loc["c", "rank"] == 1
    assert table.loc["b", "rank"] == 3
    assert table["tied"].to_dict() == {"a": True, "c": True, "b": False}
    assert "No ranks" not in board.caption
    few = leaderboard(frame(several(grid, accuracies, noise, 4)))
    assert "No ranks: they need 5 seeds." in few.caption
    assert few.table["rank"].isna().all()
    low, high = table.loc["a", ["worst_low", "worst_high"]]
    # One attack: mean ± t(0.975, 4) · s/√5, by hand for a spread of 0.1204.
    assert high - low == pytest.approx(2 * 2.776445 * np.std(shared, ddof=1) / np.sqrt(5), rel=1e-6)
    assert table.loc["a", "worst_left_out"] == pytest.approx(table.loc["a", "worst_accuracy"])


def test_seeds_that_differ_between_attacks_give_no_interval(grid):
    cells = grid({"mean": {"none": 0.9, "a": 0.5, "b": 0.6}}, seed=0) + grid(
        {"mean": {"none": 0.9, "a": 0.5}}, seed=1
    )
    board = leaderboard(frame(cells))
    assert board.score_column == "worst_accuracy"
    assert "no interval" in board.caption


def test_without_an_attack_that_counts_nothing_is_said_of_seeds(grid):
    cells = grid({"mean": {"none": 0.9}}, seed=0) + grid({"mean": {"none": 0.8}}, seed=1)
    caption = leaderboard(frame(cells)).caption
    assert "Only adaptive attacks or none were run: no worst case, no ranks." in caption
    assert "same" not in caption


def test_a_small_drop_within_the_noise_is_ineffective(grid):
    # The drop is 3 points on average, but in some seeds the attacked model is better.
    cells = []
    for seed, drop in enumerate([0.2, -0.1, 0.12, -0.1, 0.03]):
        cells += grid({"mean": {"none": 0.8, "ipm": 0.8 - drop}}, seed=seed)
    assert "ipm (1 of 1 block)" in leaderboard(frame(cells)).caption


def test_intervals_do_not_depend_on_the_order_of_the_cells(grid):
    cells = [
        cell
        for seed in range(3)
        for share in (0.1, 0.3)
        for cell in grid(
            {"mean": {"none": 0.9, "a": 0.3 + 0.1 * seed * share, "b": 0.5 - 0.07 * seed}},
            seed=seed,
            malicious=share,
        )
    ]
    there, back = (rows(leaderboard(frame(some))).loc["mean"] for some in (cells, cells[::-1]))
    for name in ("worst_low", "worst_high", "mean_low", "mean_high", "worst_left_out"):
        assert there[name] == pytest.approx(back[name], abs=1e-12)


def test_rules_without_f_stand_in_every_assumed_f(grid):
    cells = grid({"mean": {"none": 0.9, "ipm": 0.4}})
    cells += grid({"krum": {"none": 0.8, "ipm": 0.6}}, assumed_f="exact")
    cells += grid({"krum": {"none": 0.6, "ipm": 0.2}}, assumed_f="2x")
    table = rows(leaderboard(frame(cells)))
    assert table.loc["krum", "worst_accuracy"] == pytest.approx(0.4)
    assert table.loc["krum", "defence_tax"] == pytest.approx(0.9 - 0.7)
    assert table["coverage"].to_dict() == {"krum": "4/4", "mean": "2/2"}


def test_detection_rates_and_their_intervals(grid, record):
    rates = {"tpr": 1.0, "fpr": 0.25, "dacc": 0.2 * 1.0 + 0.8 * 0.75}
    cells = [*grid(BASIC), record("flame", "none", 0.9, fpr=0.1)]
    cells += [record("flame", attack, 0.8, **rates) for attack in ("ipm", "alie")]
    table = rows(leaderboard(frame(cells)))
    flame = table.loc["flame"]
    assert (flame["tpr"], flame["fpr"], flame["clean_fpr"]) == pytest.approx((1.0, 0.25, 0.1))
    assert flame["clean_fpr_low"] < 0.1 < flame["clean_fpr_high"]
    # The 8 honest clients are the same under both attacks: 2 of 8, not 4 of 16.
    assert (flame["fpr_low"], flame["fpr_high"]) == pytest.approx((0.0319, 0.6509), abs=1e-4)
    assert table.loc["krum", ["tpr", "fpr", "clean_fpr"]].isna().all()


def test_nothing_run_yet(record):
    board = leaderboard(frame([record(rule, "ipm", status="missing") for rule in ("mean", "krum")]))
    assert board.table["rank"].isna().all()
    assert board.table["coverage"].tolist() == ["0/1", "0/1"]


def test_clean_cells_only(grid):
    board = leaderboard(frame(grid({"mean": {"none": 0.9}, "krum": {"none": 0.8}}, malicious=0.0)))
    assert board.table["note"].tolist() == ["no attacked cell", "no attacked cell"]
    assert board.table["aggregator"].tolist() == ["mean", "krum"]
    assert board.caption.startswith("Sorted by clean_accuracy: accuracy without attack, mean over blocks.")


def test_no_cell_at_all():
    with pytest.raises(UsageError, match="no cell"):
        leaderboard(frame([]))


def test_two_cells_for_one_place_are_refused(record):
    with pytest.raises(UsageError, match="agree in every setting"):
        leaderboard(frame([record("mean", "ipm", 0.5), record("mean", "ipm", 0.6)]))


def test_mixed_devices_are_said(grid):
    cells = grid(BASIC)
    cells[0]["provenance"]["device"] = "cuda"
    assert "Cells of different devices are mixed." in leaderboard(frame(cells)).caption


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_worst_is_never_above_the_mean(data, request):
    grid = request.getfixturevalue("grid")
    accuracy = st.floats(0, 1)
    attacks = ["none", "ipm", "alie", "min_max"]
    cells = []
    for malicious in (0.1, 0.3):
        for seed in range(data.draw(st.integers(1, 3))):
            table = {rule: {a: data.draw(accuracy) for a in attacks} for rule in ("mean", "krum", "median")}
            cells += grid(table, malicious=malicious, seed=seed)
    kept = [cell for cell in cells if data.draw(st.integers(0, 9))] or cells
    table = leaderboard(frame(kept)).table
    known = table.dropna(subset=["worst_accuracy"])
    assert (known["worst_accuracy"] <= known["mean_accuracy"] + 1e-12).all()


def test_ten_thousand_cells_are_quick(grid):
    accuracy = np.random.default_rng(0).random((8, 5, 10, 25))
    cells = [
        cell
        for world in range(8)
        for seed in range(5)
        for cell in grid(
            {
                f"rule{r}": {f"attack{a}" if a else "none": accuracy[world, seed, r, a] for a in range(25)}
                for r in range(10)
            },
            seed=seed,
            lr=0.1 + world,
        )
    ]
    table = frame(cells)
    start = time.process_time()
    board = leaderboard(table)
    assert time.process_time() - start < 4
    assert len(cells) == 10_000
    assert board.table["rank"].notna().all()


def test_only_attacks_that_hurt_nobody_leave_nothing_to_rank(grid):
    still = {rule: {"none": 0.9, "ipm": 0.895} for rule in ("mean", "median")}
    cells = [cell for seed in range(5) for cell in grid(still, seed=seed)]
    board = leaderboard(frame(cells))
    assert board.table["rank"].isna().all()
    assert set(board.table["note"]) == {"no attack hurts a rule"}
    assert "nothing is ranked" in board.caption


def test_a_block_in_which_no_rule_is_hurt_is_left_out(grid):
    cells = []
    for seed in range(5):
        cells += grid(
            {rule: {"none": 0.9, "ipm": 0.9} for rule in ("mean", "median")}, malicious=0.1, seed=seed
        )
        cells += grid({"mean": {"none": 0.9, "ipm": 0.2}, "median": {"none": 0.8, "ipm": 0.7}}, seed=seed)
    board = leaderboard(frame(cells))
    assert rows(board)["worst_accuracy"].to_dict() == pytest.approx({"median": 0.7, "mean": 0.2})
    assert "Left out: 1 block in which no attack hurts any rule." in board.caption


def test_a_rule_that_root_data_alone_would_beat_has_no_rank(grid, record):
    cells = []
    for seed in range(5):
        cells += grid({"mean": {"none": 0.9, "ipm": 0.3}, "fltrust": {"none": 0.85, "ipm": 0.8}}, seed=seed)
        for attack in ("none", "ipm"):
            baseline = record("root_only", attack, 0.82, seed=seed)
            baseline["facts"]["ranked"] = False
            cells.append(baseline)
    table = rows(leaderboard(frame(cells)))
    assert (table.loc["fltrust", "track"], table.loc["fltrust", "note"]) == ("D", "not above root_only")
    assert pd.isna(table.loc["fltrust", "rank"])
    assert "root_only" in set(leaderboard(frame(cells)).of_track("D").table["aggregator"])
    assert "root_only" not in set(leaderboard(frame(cells)).of_track("A").table["aggregator"])


def test_a_track_without_a_rule_is_refused(grid):
    with pytest.raises(UsageError, match=r"No rule competes in track 'C'.*Here: A, B"):
        leaderboard(frame(grid(BASIC))).of_track("C")


def test_rules_with_holes_are_no_reference_for_other_tracks(grid, record):
    cells = grid({"median": {"none": 0.9, "ipm": 0.7}, "krum": {"none": 0.8, "ipm": 0.6, "alie": 0.5}})
    cells.append(record("median", "alie", status="failed"))
    board = leaderboard(frame(cells))
    assert rows(board).loc["median", "note"] == "1 failed"
    assert list(board.of_track("B").table["aggregator"]) == ["krum"]
