"""The attack, cost and detection tables, by hand."""

from __future__ import annotations

import pytest

from robustbench_fl.analysis.attacks import attack_table
from robustbench_fl.analysis.blocks import completed
from robustbench_fl.analysis.costs import cost_table
from robustbench_fl.analysis.detection import detection_table
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard
from robustbench_fl.analysis.sections import ATTACK, sections
from robustbench_fl.core.errors import UsageError
from robustbench_fl.report.page.views import views

BASIC = {
    "mean": {"none": 0.9, "ipm": 0.5, "alie": 0.89},
    "krum": {"none": 0.8, "ipm": 0.7, "alie": 0.6},
    "oracle_mean": {"none": 0.9, "ipm": 0.1, "alie": 0.1},
}


def test_attacks_by_hand(grid):
    found = attack_table(frame(grid(BASIC)))
    rows = found.table.set_index("attack")
    assert list(rows.index) == ["ipm", "alie"]
    # ipm: mean loses 0.4, krum 0.1; alie: 0.01 and 0.2. The baseline is not counted.
    assert rows["mean_drop"].tolist() == pytest.approx([0.25, 0.105])
    assert rows["plain_drop"].tolist() == pytest.approx([0.4, 0.01])
    assert rows["worst_share"].tolist() == [0.5, 0.5]
    assert rows["most_hurt"].tolist() == ["mean", "krum"]
    assert rows["effective"].tolist() == ["1/1", "0/1"]
    assert rows["coverage"].tolist() == ["2/2", "2/2"]
    assert rows["mean_drop_low"].isna().all()
    assert "n=1, no interval" in found.caption
    assert (found.rank_column, found.score_column) == (None, "mean_drop")


def test_attacks_that_do_equal_harm_share_a_pair(grid):
    rows = attack_table(frame(grid({"krum": {"none": 0.9, "a": 0.5, "b": 0.5, "c": 0.6}}))).table
    assert rows.set_index("attack")["worst_share"].to_dict() == {"a": 0.5, "b": 0.5, "c": 0.0}


def test_a_drop_has_an_interval_over_seeds(grid):
    cells = grid({"krum": {"none": 0.9, "ipm": 0.7}}, seed=0) + grid(
        {"krum": {"none": 0.8, "ipm": 0.7}}, seed=1
    )
    row = attack_table(frame(cells)).table.iloc[0]
    # Drops of 0.2 and 0.1: a standard error of 0.05, and t with one degree of freedom is 12.71.
    assert (row["mean_drop_low"], row["mean_drop"], row["mean_drop_high"]) == pytest.approx(
        (0.15 - 0.6353, 0.15, 0.15 + 0.6353), abs=1e-4
    )


def test_a_missing_attacked_cell_is_seen_in_the_coverage(grid, record):
    cells = [*grid(BASIC), *grid({"median": {"none": 0.9, "ipm": 0.8}})]
    cells.append(record("median", "alie", status="missing"))
    rows = attack_table(frame(cells)).table.set_index("attack")
    assert rows["coverage"].to_dict() == {"ipm": "3/3", "alie": "2/3"}


def test_attacks_without_clean_cells_are_refused(grid):
    with pytest.raises(UsageError, match="Add the attack none"):
        attack_table(frame(grid({"mean": {"ipm": 0.5}})))
    with pytest.raises(UsageError, match="attack none"):
        attack_table(frame([]))


def test_costs_by_hand(grid):
    cells = grid({"mean": {"none": 0.9, "ipm": 0.5}, "krum": {"none": 0.9, "ipm": 0.5}})
    seconds = {("mean", "none"): 0.02, ("mean", "ipm"): 0.04, ("krum", "none"): 0.1, ("krum", "ipm"): 0.2}
    for cell in cells:
        where = (cell["labels"]["aggregator"], cell["labels"]["attack"])
        cell["costs"]["aggregate_seconds"] = seconds[where]
        cell["costs"]["peak_memory_mb"] = 30.0 if where == ("krum", "ipm") else 20.0
    rows = cost_table(frame(cells)).table.set_index("aggregator")
    assert list(rows.index) == ["mean", "krum"]
    # 20 rounds: 0.1 s are 5 ms a round, 0.2 s are 10 ms, five times the 2 ms of mean.
    assert rows.loc["krum", ["server_ms", "server_ms_attacked", "times_plain"]].tolist() == [5.0, 10.0, 5.0]
    assert rows["peak_memory_mb"].tolist() == [20.0, 30.0]
    assert rows["train_ms"].tolist() == [100.0, 100.0]  # 2 s over 20 rounds


def test_costs_of_nothing_are_refused(record):
    with pytest.raises(UsageError, match="Run the sweep first"):
        cost_table(frame([record("mean", "ipm", status="missing")]))


def test_detection_by_hand(record):
    cells = [record("flame", "none", fpr=0.125), record("krum", "ipm", 0.5)]
    for attack, tpr in (("ipm", 1.0), ("alie", 0.0)):
        cells.append(record("flame", attack, 0.8, tpr=tpr, fpr=0.25, dacc=0.2 * tpr + 0.8 * 0.75, auc=0.9))
    found = detection_table(frame(cells))
    (row,) = found.table.to_dict("records")  # krum selects, it accuses nobody
    assert (row["tpr"], row["fpr"], row["dacc"]) == pytest.approx((0.5, 0.25, 0.7))
    assert row["clean_fpr"] == 0.125
    # One of two malicious clients: Clopper and Pearson give 0.0126 to 0.9874.
    assert (row["tpr_low"], row["tpr_high"]) == pytest.approx((0.0126, 0.9874), abs=1e-4)
    # Two honest clients of eight are lost in every cell; of these, the attacked ones are counted.
    assert (row["lost_clients"], row["lost_share"]) == (2.0, 0.25)
    assert row["coverage"] == "3/3"
    assert found.score_column == "dacc"


def test_detection_by_attack_shows_what_the_mean_hides(record):
    cells = [
        record("flame", attack, 0.8, tpr=tpr, fpr=0.25, dacc=0.2 * tpr + 0.6)
        for attack, tpr in (("ipm", 1.0), ("alie", 0.0))
    ]
    parts = sections(frame(cells), "attack", detection_table, ATTACK).parts
    assert {labels: part.table.loc[0, "tpr"] for labels, part in parts} == {("alie",): 0.0, ("ipm",): 1.0}


def test_no_detector_is_said(grid):
    with pytest.raises(UsageError, match="list aggregators"):
        detection_table(frame(grid(BASIC)))


def test_a_leaderboard_for_each_value(grid):
    cells = grid(BASIC, malicious=0.1) + grid({"mean": {"none": 0.9, "ipm": 0.4}}, malicious=0.3)
    found = sections(frame(cells), "fraction", leaderboard)
    assert [labels for labels, _ in found.parts] == [(0.1,), (0.3,)]
    (_, first), (_, second) = found.parts
    assert first.table["aggregator"].tolist() == ["mean", "krum", "oracle_mean"]
    assert second.table["aggregator"].tolist() == ["mean"]
    assert any(sentence.startswith("Sorted by worst_accuracy") for sentence in found.shared)
    assert not any("digest" in sentence for sentence in found.shared)


def test_by_alpha_reads_the_partitions_parameter(grid):
    cells = [c for a in (1, 0.1) for c in grid(BASIC, partition=f"dirichlet(alpha={a})")]
    cells += grid(BASIC, partition="iid")
    assert [labels for labels, _ in sections(frame(cells), "alpha", leaderboard).parts] == [
        (0.1,),
        (1.0,),
        ("none",),
    ]


def test_by_assumed_f_rules_that_are_not_told_stand_under_each(grid):
    cells = grid({"mean": {"none": 0.9, "ipm": 0.4}})
    cells += grid({"krum": {"none": 0.8, "ipm": 0.6}}, assumed_f="exact")
    cells += grid({"krum": {"none": 0.6, "ipm": 0.2}}, assumed_f="2x")
    found = {labels: part.table for labels, part in sections(frame(cells), "assumed_f", leaderboard).parts}
    assert found[("2x",)]["aggregator"].tolist() == ["mean", "krum"]
    assert found[("exact",)]["aggregator"].tolist() == ["mean", "krum"]
    assert found[("exact",)]["worst_accuracy"].tolist() == [0.4, 0.6]


def test_a_setting_without_an_assumed_f_is_no_part_of_its_section(grid):
    told = {"krum": {"none": 0.8, "ipm": 0.6}}
    cells = grid({"mean": {"none": 0.9, "ipm": 0.4}})
    cells += grid(told, assumed_f="2x") + grid(told, assumed_f="exact")
    cells += grid({"mean": {"none": 0.9, "ipm": 0.2}, "krum": {"none": 0.8, "ipm": 0.6}}, malicious=0.4)
    found = {labels: part.table for labels, part in sections(frame(cells), "assumed_f", leaderboard).parts}
    assert found[("2x",)][["worst_accuracy", "coverage", "note"]].to_numpy().tolist() == [
        [0.4, "2/2", ""],
        [0.6, "2/2", ""],
    ]
    assert set(found[("exact",)]["coverage"]) == {"4/4"}
    shown = {view.assumed: len(view.cells) for view in views(completed(frame(cells))) if view.assumed}
    assert shown == {"2x": 4, "exact": 8}


@pytest.mark.parametrize(
    ("by", "said"), [("alhpa", "Did you mean alpha"), ("fraction,malicious", "twice"), ("attack", "Unknown")]
)
def test_by_what_does_not_exist_is_refused(grid, by, said):
    with pytest.raises(UsageError, match=said):
        sections(frame(grid(BASIC)), by, leaderboard)
