import numpy as np
import pytest

from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.matrix import matrix
from robustbench_fl.core.errors import UsageError

BASIC = {
    "mean": {"none": 0.9, "ipm": 0.5, "alie": 0.6},
    "krum": {"none": 0.8, "ipm": 0.7, "alie": 0.6},
    "oracle_mean": {"none": 0.95, "ipm": 0.94, "alie": 0.93},
}


def test_numbers_order_and_best(grid):
    table = matrix(frame(grid(BASIC)))
    assert list(table.values.columns) == ["none", "alie", "ipm"]
    assert table.values.loc["krum", "ipm"] == 0.7
    assert table.best.loc["krum"].to_dict() == {"none": False, "alie": True, "ipm": True}
    assert table.best.loc["mean"].to_dict() == {"none": True, "alie": True, "ipm": False}
    assert not table.best.loc["oracle_mean"].any()  # a baseline wins nothing


def test_a_hole_and_an_incomplete_mean(grid, record):
    cells = grid(BASIC, seed=0) + grid(BASIC, seed=1)
    cells = [
        c for c in cells if not (c["labels"]["aggregator"] == "krum" and c["labels"]["attack"] == "alie")
    ]
    cells.append(record("krum", "alie", 0.99, seed=0))
    cells += [record("median", attack, status="missing", seed=s) for attack in BASIC["mean"] for s in (0, 1)]
    table = matrix(frame(cells))
    assert np.isnan(table.values.loc["median", "alie"])
    assert (table.done.loc["krum", "alie"], table.planned.loc["krum", "alie"]) == (1, 2)
    assert table.incomplete.loc["krum", "alie"]
    assert not table.best.loc["krum", "alie"]
    assert not table.incomplete.loc["mean"].any()


def test_clean_and_adaptive_stay_out_of_means_over_attacks(grid):
    cells = grid({rule: {**row, "adaptive_min_max": 0.1} for rule, row in BASIC.items()})
    table = matrix(frame(cells), "aggregator", "partition")
    assert table.values.loc["krum"].tolist() == [pytest.approx(0.65)]
    assert "Left out: the attack none, adaptive attacks." in table.caption


def test_fraction_zero_stays_out_of_clean_unless_asked(grid):
    cells = grid(BASIC) + grid({rule: {"none": 0.1} for rule in BASIC}, malicious=0.0)
    assert matrix(frame(cells)).values.loc["krum", "none"] == 0.8
    by_fraction = matrix(frame(cells), "aggregator", "malicious,attack")
    assert by_fraction.values.loc["krum", "0, none"] == 0.1
    assert list(by_fraction.values.columns) == ["0, none", "0.2, none", "0.2, alie", "0.2, ipm"]


def test_joined_columns_and_numeric_order(grid):
    cells = [c for clients in (5, 10, 100) for c in grid(BASIC, clients=clients)]
    table = matrix(frame(cells), ["aggregator"], "attack, clients")
    assert list(table.values.columns)[:3] == ["none, 5", "none, 10", "none, 100"]
    assert table.values.columns.name == "attack,clients"


def test_lower_is_better_for_costs_and_rules_may_stand_on_top(grid):
    cells = grid(BASIC)
    for cell in cells:
        cell["costs"]["aggregate_seconds"] = {"mean": 0.1, "krum": 0.4, "oracle_mean": 0.05}[
            cell["labels"]["aggregator"]
        ]
    table = matrix(frame(cells), "attack", "aggregator", "server_ms")
    assert table.best["mean"].all()
    assert not table.best[["krum", "oracle_mean"]].any(axis=None)
    assert table.values.loc["ipm", "krum"] == pytest.approx(20)


def test_nothing_is_best_where_no_rules_are_compared(grid):
    assert not matrix(frame(grid(BASIC)), "attack", "partition").best.any(axis=None)


def test_ineffective_attacks_are_marked_and_credit_nobody(grid):
    table = matrix(frame(grid({"mean": {"none": 0.9, "ipm": 0.89}, "krum": {"none": 0.9, "ipm": 0.895}})))
    assert table.ineffective == {"ipm"}
    assert not table.best["ipm"].any()
    assert "† ineffective" in table.caption


def test_ties_over_seeds(grid):
    cells = []
    for seed, gap in enumerate([0.1, -0.08, 0.05, -0.05]):
        cells += grid({"mean": {"ipm": 0.5}, "krum": {"ipm": 0.5 + gap}, "median": {"ipm": 0.3}}, seed=seed)
    table = matrix(frame(cells))
    assert table.tied["ipm"].to_dict() == {"krum": True, "mean": True, "median": False}
    assert table.best["ipm"].to_dict() == {"krum": True, "mean": False, "median": False}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("agregator", "attack"), "Unknown column 'agregator' in rows. Did you mean aggregator"),
        (("aggregator", "atack"), "Unknown column 'atack' in cols. Did you mean attack"),
        (("aggregator", "attack", "acuracy"), "Unknown value 'acuracy'. Did you mean accuracy"),
        (("aggregator,attack", "attack"), "'attack' is asked for twice"),
    ],
)
def test_what_does_not_exist_is_refused(grid, arguments, message):
    with pytest.raises(UsageError, match=message):
        matrix(frame(grid(BASIC)), *arguments)


def test_no_cell_at_all():
    with pytest.raises(UsageError, match="no cell"):
        matrix(frame([]))


def test_what_is_averaged_is_not_said_to_be_averaged_over(grid):
    table = {"mean": {"none": 0.9, "ipm": 0.4}, "krum": {"none": 0.8, "ipm": 0.6}}
    found = matrix(frame(grid(table)), "attack", "malicious", "accuracy_loss")
    assert found.caption.startswith("accuracy_loss, mean over aggregator, 1 seed.")
