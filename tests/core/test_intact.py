"""What is read from a file is whole, or it is not read."""

import copy

import pytest

from robustbench_fl.core.intact import is_planned, is_record
from robustbench_fl.core.record import SCHEMA, Costs, Metrics
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.run import plan_row


@pytest.fixture(scope="module")
def row():
    sweep = make_sweep({}, {"name": "s", "aggregator": "mean", "attack": "alie"})
    return plan_row(expand(sweep)[0])


@pytest.fixture
def record(row):
    metrics = dict.fromkeys(Metrics.model_fields) | {"accuracy": 0.5, "accuracy_std": 0}
    metrics |= {"class_accuracy": [0.5, None], "worst_class_accuracy": 0.5}
    parts = {"schema_version": SCHEMA, "status": "done", "metrics": metrics}
    return copy.deepcopy({**row, **parts, "costs": dict.fromkeys(Costs.model_fields, 1.0)})


def test_whole_ones(row, record):
    assert is_planned(row)
    assert is_record(record)
    assert not is_record(row)
    assert is_record({**record, "status": "failed", "metrics": None})


def test_curves_have_one_value_an_evaluation(record):
    curves = {"round": [2, 4], "accuracy": [0.1, 0.2], "loss": [1.0, None], "attack_success": [None, None]}
    assert is_record(record | {"curves": curves})
    for name in curves:
        assert not is_record(record | {"curves": curves | {name: curves[name][:1]}}), name


def test_keys_of_a_later_version_do_no_harm(row, record):
    record["metrics"]["novelty"] = 0.5
    record["cell"]["novelty"] = [1]
    assert is_record(record | {"novelty": {}})
    assert is_planned(row | {"novelty": {}})


@pytest.mark.parametrize(
    "part",
    [
        {"labels": {}},
        {"labels": {"dataset": 1, "model": None, "partition": [], "aggregator": {}, "attack": 3}},
        {"facts": None},
        {"facts": [1]},
        {"facts": {"needs": None}},
        {"cell": {}},
        {"cell": []},
        {"cell": {"malicious": 0.3, "clients": 8, "participation": 1.0, "rounds": 2, "seed": 2**63}},
        {"cell": {"malicious": "0.3", "clients": 8, "participation": 1.0, "rounds": 2, "seed": 0}},
        {"key": 3},
        {"key": ["a"]},
        {"key": "../../0123456789"},
    ],
)
def test_parts_that_no_table_can_read(row, record, part):
    assert not is_planned(row | part)
    assert not is_record(record | part)


@pytest.mark.parametrize("label", ["mean", "mean(weighted=true)", "mean(\n)(x)"])
def test_labels_name_the_methods_of_the_identity(row, label):
    assert is_planned({**row, "labels": {**row["labels"], "aggregator": label}})
    for other in ("median", "mean > mean", "mean2", "mean(", "", " mean", "tuned > mean"):
        assert not is_planned({**row, "labels": {**row["labels"], "aggregator": other}})


@pytest.mark.parametrize(
    "part",
    [
        {"schema_version": SCHEMA + 1},
        {"status": "splendid"},
        {"metrics": [1]},
        {"metrics": {"accuracy": 0.5}},
        {"metrics": None},
        {"metrics": None, "novelty": 1},
        {"metrics": None, "status": "diverged"},
        {"costs": {"train_seconds": "1", "attack_seconds": 1.0}},
        {"curves": "x"},
        {"federation": {"sizes": [1]}},
        {"provenance": "x"},
    ],
)
def test_outcomes_that_no_table_can_read(record, part):
    assert not is_record(record | part)


@pytest.mark.parametrize("value", ["high", float("nan"), float("inf"), None, True])
def test_an_accuracy_is_a_finite_number(record, value):
    record["metrics"]["accuracy"] = value
    assert not is_record(record)
