"""Cells that were made with other data than the rest are shown, and count nowhere."""

from __future__ import annotations

import json

from click.testing import CliRunner

from robustbench_fl import run_cell
from robustbench_fl.analysis.flags import flags
from robustbench_fl.analysis.frame import frame
from robustbench_fl.api.build import make
from robustbench_fl.cli.main import cli
from robustbench_fl.core.agreement import differences
from robustbench_fl.store.other_data import without_other_data


def test_a_record_names_its_arrays(tmp_path):
    record = run_cell(
        aggregator="mean", attack="none", dataset="synthetic(samples=60, test=20)", model="logistic",
        partition="iid", malicious=0.0, clients=3, rounds=1, root_size=0,
    ).record  # fmt: skip
    arrays = make("datasets", "synthetic(samples=60, test=20)").load(tmp_path)
    assert record.provenance["data"] == arrays.digest
    arrays = make("datasets", "synthetic(samples=60, test=20)").load(tmp_path)
    arrays.test_labels[3] ^= 1
    assert record.provenance["data"] != arrays.digest


def metrics(accuracy):
    rates = dict.fromkeys(("validation_accuracy", "loss", "attack_success", "tpr", "fpr", "dacc", "auc"))
    accuracies = {"accuracy": accuracy, "accuracy_std": 0.0, "worst_class_accuracy": accuracy}
    return {**rates, **accuracies, "class_accuracy": [accuracy] * 10}


def stored(store, plan, record, digests):
    for planned, digest in zip(plan, digests, strict=True):
        made_by = {"commit": "abc"} | ({"data": digest} if digest else {})
        store.write(record(planned, metrics=metrics(0.5), provenance=made_by))


def test_the_fewer_are_left_out(store, plan, record):
    stored(store, plan, record, ["a" * 16, "b" * 16, None, "a" * 16])
    for rows in (store.records(), list(store.summaries())):
        assert [row["status"] for row in rows] == ["done", "other data", "done", "done"]
    apart = store.records()[1]
    assert apart["reason"] == f"its digits has the digest {'b' * 16}, that of the other cells {'a' * 16}"
    assert "metrics" not in apart
    (flag,) = [flag for flag in flags(frame(store.records())) if flag.name == "other_data"]
    assert flag.cause.startswith("Left out, as made with other data than the rest: 1 cells (its digits has")
    shown = {}
    for command in ("status", "leaderboard"):
        for form in ("table", "json"):
            words = [command, str(store.folder), "--format", form]
            shown[command, form] = CliRunner().invoke(cli, words, catch_exceptions=False).stdout
    assert "other data" in shown["status", "table"].splitlines()[0]
    assert json.loads(shown["status", "json"])[-1]["other data"] == 1
    assert "1 are left out: they were made with other data" in " ".join(shown["leaderboard", "table"].split())
    assert '"other_data"' in shown["leaderboard", "json"]


def test_of_equally_many_every_reader_leaves_out_the_same(store, plan, record):
    stored(store, plan, record, ["b" * 16, "a" * 16, None, None])
    assert [row["status"] for row in store.records()] == ["other data", "done", "done", "done"]
    rows = without_other_data(reversed(store.records()))
    assert [row["status"] for row in rows] == ["done", "done", "done", "other data"]


def test_verification_sees_other_data():
    one, two = ({"status": "done", "provenance": {"data": digest}} for digest in "ab")
    assert [found.what for found in differences(one, two)] == ["provenance.data"]
    assert differences(one, {"status": "done", "provenance": {}}) == []
