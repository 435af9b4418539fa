"""Each flag where it applies, and not where it does not."""

import pytest

from robustbench_fl.analysis.flags import flags
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.leaderboard import leaderboard

GOOD = {
    "mean": {"none": 0.9, "ipm": 0.4, "adaptive_min_max": 0.3},
    "krum": {"none": 0.85, "ipm": 0.7, "adaptive_min_max": 0.6},
}


def ten_seeds(grid, table, **common):
    return [
        cell
        for dataset in ("digits", "mnist")
        for seed in range(10)
        for cell in grid(table, seed=seed, dataset=dataset, **common)
    ]


def names(cells):
    return [flag.name for flag in flags(frame(cells))]


def test_nothing_is_suspect(grid):
    assert names(ten_seeds(grid, GOOD)) == []


def test_nothing_is_known_of_what_did_not_run(record):
    assert names([]) == names([record("mean", "ipm", status="missing")]) == []


def test_one_data_set_few_seeds_no_adaptive_attack(grid):
    rows = {rule: {"none": row["none"], "ipm": row["ipm"]} for rule, row in GOOD.items()}
    found = flags(frame(grid(rows)))
    assert [flag.name for flag in found] == ["one_data_set", "few_seeds", "no_adaptive_attack"]
    assert found[0].text == "One data set only (digits). Run a second one: rankings change with the data."
    assert found[1].cause.startswith("Few seeds (1)")
    caption = leaderboard(frame(grid(rows))).caption
    assert all(f"Flag: {flag.text}" in caption for flag in found)


@pytest.mark.parametrize(("root", "flagged"), [(0.79, False), (0.83, True)])
def test_root_data_alone(grid, record, root, flagged):
    # Ten classes: chance is 0.1; 0.9 of the way to the oracle's 0.9 is 0.82.
    cells = ten_seeds(grid, {**GOOD, "oracle_mean": dict.fromkeys(GOOD["mean"], 0.9)})
    only = ten_seeds(grid, {"root_only": dict.fromkeys(GOOD["mean"], root)})
    for cell in only:
        cell["facts"]["ranked"] = False
    assert names([*cells, *only]) == ["root_data_alone"] * flagged
    beyond = [record("krum", "alie", status="infeasible", dataset=name) for name in ("digits", "mnist")]
    assert ("root_data_alone" in names([*beyond, *cells, *only])) == flagged


def test_attacked_above_clean(grid):
    better = {**GOOD, "median": {"none": 0.7, "ipm": 0.75, "adaptive_min_max": 0.6}}
    (flag,) = flags(frame(ten_seeds(grid, better)))
    assert (flag.name, "median" in flag.cause) == ("attacked_above_clean", True)


def test_an_attack_that_hurts_nobody(grid):
    idle = {rule: {**row, "alie": row["none"] - 0.01} for rule, row in GOOD.items()}
    (flag,) = flags(frame(ten_seeds(grid, idle)))
    assert (flag.name, "alie" in flag.cause) == ("attack_hurts_nobody", True)


def test_tuning_on_one_side(grid):
    (flag,) = flags(frame(ten_seeds(grid, {**GOOD, "trimmed_mean(trim=0.3)": GOOD["krum"]})))
    assert (flag.name, "trimmed_mean(trim=0.3)" in flag.cause) == ("unequal_tuning", True)
