"""Leaderboards without a worst case: of adaptive attacks alone, or without plain averaging."""

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard


def test_adaptive_attacks_alone_order_the_rules_and_rank_nothing(grid, record):
    attacked = {"mean": 0.2, "median": 0.6, "krum": 0.5, "oracle_mean": 0.89}
    cells = [
        cell
        for seed in range(5)
        for rule, accuracy in attacked.items()
        for cell in grid({rule: {"none": 1 - accuracy / 10, "adaptive_min_max": accuracy}}, seed=seed)
    ]
    board = leaderboard(frame(cells))
    table = board.table.set_index("aggregator")
    assert board.score_column == "worst_adaptive"
    assert list(table.index) == ["median", "mean", "krum", "oracle_mean"]  # by track, in each the best first
    assert table["note"].tolist() == ["adaptive attacks alone"] * 3 + ["baseline; adaptive attacks alone"]
    assert table["rank"].isna().all()
    assert list(board.of_track("B").table["aggregator"]) == ["oracle_mean", "median", "krum"]
    assert board.caption.startswith("Sorted by worst_adaptive: accuracy under the worst adaptive attack")
    assert "1 block, adaptive attacks alone." in board.caption
    assert "iqm_accuracy" not in board.caption
    cells += [record("geometric_median", "none", 0.9, seed=seed) for seed in range(5)]
    assert list(leaderboard(frame(cells)).table.set_index("aggregator").index)[:3] == [
        "median",
        "mean",
        "geometric_median",
    ]


def test_adaptive_attacks_that_hurt_nobody_leave_the_block_in_sight(grid):
    still = {"mean": {"none": 0.9, "adaptive_min_max": 0.9}, "median": {"none": 0.8, "adaptive_min_max": 0.8}}
    board = leaderboard(frame(grid(still)))
    assert board.table.set_index("aggregator")["clean_accuracy"].to_dict() == {"mean": 0.9, "median": 0.8}
    assert board.table.set_index("aggregator")["worst_adaptive"].to_dict() == {"mean": 0.9, "median": 0.8}
    assert set(board.table["note"]) == {"no attack hurts a rule"}


def test_what_is_not_known_of_plain_averaging_is_said(grid):
    said = "Whether the attacks hurt is not known: no finished cells of the rule mean"
    assert f"{said}." in leaderboard(frame(grid({"median": {"none": 0.9, "ipm": 0.6}}))).caption
    board = leaderboard(frame(grid({"mean": {"ipm": 0.5}, "median": {"ipm": 0.6}})))
    assert f"{said} both without attack and under one." in board.caption
