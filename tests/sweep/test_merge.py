"""Folders of one sweep united: nothing lost, nothing mixed, nothing half there."""

import errno
import os

import pytest

from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.files import WriteError
from robustbench_fl.core.record import CellRecord, Metrics
from robustbench_fl.store import Store, StoreError
from robustbench_fl.store.codec import seal
from robustbench_fl.sweep.config import make_sweep, to_toml
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.merge import MergeConflict, Merged, merge
from robustbench_fl.sweep.run import plan_row

HERE = {"versions": {"torch": "2"}, "hardware": {}, "engine": "auto", "device": "cpu"}


def swept(folder, stored=lambda number: True, *, accuracy=0.5, status="done", version=1, origin=HERE, **axes):
    """Write a folder of a sweep of which the cells `stored` says are there."""
    sweep = make_sweep({}, {"name": "s", "attack": "alie", "seeds": 2, "aggregator": "mean,median", **axes})
    plan = [plan_row(planned) for planned in expand(sweep)]
    store = Store(folder)
    store.write_plan(to_toml(sweep), plan)
    figures = dict.fromkeys(Metrics.model_fields) | {"accuracy": accuracy, "accuracy_std": 0.0}
    figures |= {"class_accuracy": [0.5], "worst_class_accuracy": 0.5}
    for number, row in enumerate(plan):
        if stored(number):
            record = CellRecord(**row, status=status, metrics=figures, provenance=origin)
            store.write(record)
    return folder


def test_shards_become_one(tmp_path):
    one = swept(tmp_path / "1", lambda number: number % 2 == 0)
    two = swept(tmp_path / "2", lambda number: number % 2)
    Store(two).pack()
    assert merge([one, two], tmp_path / "all") == Merged(planned=4, stored=4, left_out=0)
    whole = Store.existing(tmp_path / "all")
    assert {record["status"] for record in whole.records()} == {"done"}
    parts = {record["key"]: record for store in (Store(one), Store(two)) for record in store.stored()}
    assert {record["key"]: record for record in whole.stored()} == parts
    assert sorted(path.name for path in whole.folder.iterdir()) == [
        "cells.jsonl.gz", "plan.jsonl.gz", "sweep.toml",
    ]  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "all"]


def test_grids_are_united_and_missing_cells_stay_missing(tmp_path):
    one = swept(tmp_path / "1", lambda number: number == 0)
    two = swept(tmp_path / "2", aggregator="median,krum", seeds=3)
    three = swept(tmp_path / "3", aggregator="meamed")
    done = merge([one, two, three], tmp_path / "all")
    sweep = make_sweep(Store(tmp_path / "all").read_sweep(), {})
    assert [row["key"] for row in Store(tmp_path / "all").planned()] == [p.cell.key for p in expand(sweep)]
    assert done == Merged(planned=10, stored=9, left_out=0)


def test_other_settings_are_refused_by_name(tmp_path):
    one, two = swept(tmp_path / "1"), swept(tmp_path / "2", rounds=3, lr=0.5)
    with pytest.raises(UsageError) as caught:
        merge([one, two], tmp_path / "all")
    assert str(caught.value).startswith(
        "These folders hold sweeps with different settings:\n"
        f"  rounds: 20 in {one}, 3 in {two}\n  lr: 0.05 in {one}, 0.5 in {two}\n"
    )
    assert not (tmp_path / "all").exists()


def test_conflicts_are_shown_with_both_values(tmp_path):
    one, two = swept(tmp_path / "1"), swept(tmp_path / "2", lambda number: number == 3, accuracy=0.75)
    key = next(iter(Store(two).statuses()))
    with pytest.raises(MergeConflict) as caught:
        merge([one, two], tmp_path / "all")
    assert str(caught.value).splitlines()[:2] == [
        "1 cell with different results:",
        f"  {key}  median under alie: metrics.accuracy is 0.5 in {one}, 0.75 in {two}",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_identical_results_and_those_of_another_machine_are_fine(tmp_path):
    other = {**HERE, "versions": {"torch": "3"}}
    folders = [
        swept(tmp_path / "1"), swept(tmp_path / "2"), swept(tmp_path / "3", accuracy=0.5005, origin=other),
    ]  # fmt: skip
    merge(folders, tmp_path / "all")
    assert {record["metrics"]["accuracy"] for record in Store(tmp_path / "all").stored()} == {0.5}


def test_a_result_is_taken_before_a_failure(tmp_path):
    one, two = swept(tmp_path / "1", status="failed"), swept(tmp_path / "2", lambda number: number < 3)
    merge([one, two], tmp_path / "all")
    statuses = [record["status"] for record in Store(tmp_path / "all").records()]
    assert statuses == ["done", "done", "done", "failed"]


def test_plans_of_other_versions_are_refused(tmp_path):
    one, two = swept(tmp_path / "1"), swept(tmp_path / "2", lambda number: False)
    rows = list(Store(two).planned())
    for row in rows:
        row["cell"]["engine"] = 0
        row["key"] = row["key"][::-1]
    Store(two).write_plan(Store(two).read_sweep(), rows)
    with pytest.raises(UsageError, match=r"by different versions of robustbench-fl: engine 1 and 0\."):
        merge([one, two], tmp_path / "all")


def test_a_later_schema_is_refused(tmp_path):
    one = swept(tmp_path / "1")
    record = next(Store(one).stored())
    Store(one).write_bytes(f"cells/{record['key']}.json", seal({**record, "schema_version": 99}))
    with pytest.raises(StoreError, match="schema 99 were written by a later"):
        merge([one, swept(tmp_path / "2")], tmp_path / "all")


def test_nothing_is_overwritten_and_an_empty_folder_will_do(tmp_path):
    one = swept(tmp_path / "1")
    with pytest.raises(UsageError, match="Give -o a new folder"):
        merge([one], one)
    (tmp_path / "all").mkdir()
    assert merge([one], tmp_path / "all").stored == 4


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_failed_merge_leaves_nothing(tmp_path, monkeypatch, function):
    one = swept(tmp_path / "1")

    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(WriteError, match="No space left on device"):
        merge([one], tmp_path / "all")
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]


def test_cells_of_no_plan_are_left_out_and_counted(tmp_path):
    one = swept(tmp_path / "1", aggregator="mean,median,krum")
    Store(one).write_plan(Store(swept(tmp_path / "2")).read_sweep(), Store(tmp_path / "2").planned())
    assert merge([one], tmp_path / "all") == Merged(planned=4, stored=4, left_out=2)
