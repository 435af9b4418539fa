import pandas as pd
import pytest

from robustbench_fl.analysis.curves import curves
from robustbench_fl.analysis.frame import frame
from robustbench_fl.analysis.spread import bands, seed_intervals


def test_one_seed_has_no_interval_and_several_contain_the_mean(record):
    cells = [record("mean", "ipm", a, seed=s) for s, a in enumerate((0.4, 0.5, 0.6))]
    found = seed_intervals(frame([*cells, record("median", "ipm", 0.7)]))
    assert list(found.index) == [("mean", "ipm")]
    low, high = found.loc[("mean", "ipm")]
    assert (low, high) == pytest.approx((0.5 - 0.2484, 0.5 + 0.2484), abs=1e-4)  # t(0.975, 2) · 0.1 / √3
    assert seed_intervals(frame([record("mean", "ipm", 0.4)])).empty


def test_bands_by_hand():
    data = pd.DataFrame(
        {"attack": "ipm", "aggregator": "mean", "round": [1, 1, 2, 2], "accuracy": [0.2, 0.4, 0.5, None]}
    )
    first, second = bands(data).to_dict("records")
    assert (first["mean"], first["low"], first["high"], first["seeds"]) == pytest.approx((0.3, 0.2, 0.4, 2))
    assert (second["mean"], second["low"], second["high"], second["seeds"]) == (0.5, 0.5, 0.5, 1)


def test_curves_of_attack_success(record):
    cell = record("mean", "dba", 0.5, attack_success=0.9)
    cell["curves"]["attack_success"] = [0.1 * t / 2 for t in range(20)]
    found = curves([cell, record("mean", "ipm", 0.5)])
    assert found["attack_success"].notna().sum() == 20
    assert found["attack_success"].iloc[19] == pytest.approx(0.95)
    assert curves([]).columns.tolist() == ["key", "round", "accuracy", "attack_success"]
