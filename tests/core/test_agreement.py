"""When two records of a cell agree."""

import copy

import pytest

from robustbench_fl.core.agreement import TOLERANCE, differences, tolerance

HERE = {"versions": {"torch": "2"}, "hardware": {"processor": "A"}, "engine": "auto", "device": "cpu"}


@pytest.fixture
def record():
    metrics = {"accuracy": 0.5, "tpr": None, "class_accuracy": [0.25, None]}
    return {"status": "done", "metrics": metrics, "curves": {"accuracy": [0.1, 0.5]}, "provenance": HERE}


def changed(record, **metrics):
    other = copy.deepcopy(record)
    other["metrics"] |= metrics
    return other


def test_on_one_machine_every_bit_counts(record):
    assert tolerance(record, record) == 0
    assert differences(record, copy.deepcopy(record)) == []
    (found,) = differences(record, changed(record, accuracy=0.5 + 1e-16 * 2))
    assert (found.what, found.first, found.second) == ("metrics.accuracy", 0.5, 0.5000000000000002)
    curve = copy.deepcopy(record)
    curve["curves"]["accuracy"][0] = 0.2
    assert [difference.what for difference in differences(record, curve)] == ["curves.accuracy[0]"]


@pytest.mark.parametrize("part", ["versions", "hardware", "engine", "device"])
def test_elsewhere_final_figures_count_to_a_thousandth(record, part):
    other = changed(record, accuracy=0.5009)
    other["provenance"] = {**HERE, part: "other"}
    other["curves"]["accuracy"][0] = 0.2
    assert tolerance(record, other) == TOLERANCE
    assert differences(record, other) == []
    other["metrics"]["accuracy"] = 0.5011
    assert [difference.what for difference in differences(record, other)] == ["metrics.accuracy"]


def test_a_number_is_not_none_and_a_status_is_a_status(record):
    other = changed(record, tpr=1.0, class_accuracy=[0.25, 0.0], accuracy=0.6)
    other["status"] = "diverged"
    found = differences(record, other)
    assert [difference.what for difference in found] == [
        "status", "metrics.tpr", "metrics.class_accuracy[1]", "metrics.accuracy",
    ]  # fmt: skip
    assert found[-1].size == pytest.approx(0.1)
    assert differences(record, {**record, "metrics": None})[0].what == "metrics"


def test_counts_per_image_are_compared_where_both_have_them(record):
    one, two = ({**record, "image_counts": {"images": 3, "packed": text}} for text in ("oYA=", "oYE="))
    assert differences(record, one) == differences({**record, "image_counts": None}, one) == []
    assert [difference.what for difference in differences(one, two)] == ["image_counts.packed"]
