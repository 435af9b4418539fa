"""A sweep's folder: whole files or none, packed and unpacked."""

import errno
import gzip
import json
import os

import pytest

from robustbench_fl.core.errors import RobustbenchError, UsageError
from robustbench_fl.core.files import WriteError, write_atomically
from robustbench_fl.store import Store, StoreError
from robustbench_fl.store.codec import seal
from robustbench_fl.sweep.config import make_sweep, to_toml
from robustbench_fl.sweep.run import plan_row


def test_plan_and_sweep_are_read_back(store, sweep, plan):
    assert make_sweep(store.read_sweep(), {}) == sweep
    rows = list(Store.existing(store.folder).planned())
    assert [row["key"] for row in rows] == [p.cell.key for p in plan]
    assert rows[0]["cell"] == plan[0].cell.identity
    assert rows[0]["labels"] == plan[0].cell.labels
    assert rows[0]["facts"] == plan[0].facts


def test_the_same_plan_gives_the_same_bytes(store, sweep, plan):
    before = (store.folder / "plan.jsonl.gz").read_bytes()
    store.write_plan(to_toml(sweep), [plan_row(p) for p in plan])
    assert (store.folder / "plan.jsonl.gz").read_bytes() == before


def test_records_fill_in_what_is_missing(store, plan, record):
    store.write(record(plan[1], status="diverged"))
    assert store.statuses() == {plan[1].cell.key: "diverged"}
    rows = store.records()
    assert [row["status"] for row in rows] == ["missing", "diverged", "missing", "missing"]
    assert rows[0]["labels"]["aggregator"] == "mean"


def test_a_record_is_replaced(store, plan, record):
    store.write(record(plan[0], status="failed", reason="once"))
    store.write(record(plan[0]))
    assert store.statuses() == {plan[0].cell.key: "done"}
    assert [p.name for p in store.cells.iterdir()] == [f"{plan[0].cell.key}.json"]


@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    store, plan, monkeypatch, function, error, record, path_of
):
    store.write(record(plan[0], reason="old"))
    before = path_of(store, plan[0]).read_bytes()

    def fail(*arguments):
        raise error

    monkeypatch.setattr(os, function, fail)
    expected = WriteError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        store.write(record(plan[0], reason="new"))
    monkeypatch.undo()
    if expected is WriteError:
        assert str(caught.value) == (
            f"Cannot write {plan[0].cell.key + '.json'!r} in {str(store.cells)!r}: No space left on device. "
            "What is already stored is intact; make room or choose another folder and run the sweep again."
        )
        assert isinstance(caught.value, RobustbenchError)
        assert not isinstance(caught.value, UsageError)
    assert path_of(store, plan[0]).read_bytes() == before
    assert [p.name for p in store.cells.iterdir()] == [path_of(store, plan[0]).name]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(
        WriteError, match=r"Cannot write 'a.json' in '.*taken': (File exists|Not a directory)"
    ):
        write_atomically(tmp_path / "taken" / "a.json", b"")
    with pytest.raises(StoreError, match=r"Cannot read .*sweep.toml': Not a directory. Restore"):
        Store(tmp_path / "taken").read_sweep()


def test_what_holds_no_sweep(tmp_path):
    with pytest.raises(StoreError) as caught:
        Store.existing(tmp_path)
    assert str(caught.value) == (
        f"{str(tmp_path)!r} holds no sweep (no plan.jsonl.gz). "
        "Give the folder a sweep wrote, such as results/sweep."
    )
    assert Store(tmp_path).read_sweep() is None


@pytest.mark.parametrize("content", [b"name = = 1", b"name = '\xe9'", b"name = " + b"[" * 100_000])
def test_damaged_sweep_file(store, content):
    (store.folder / "sweep.toml").write_bytes(content)
    with pytest.raises(StoreError, match=r"Cannot read .*sweep.toml.* Restore it or choose another folder."):
        store.read_sweep()


def test_a_plan_whose_rows_no_table_can_read(store, plan):
    row = {**plan_row(plan[0]), "labels": {}}
    (store.folder / "plan.jsonl.gz").write_bytes(gzip.compress(json.dumps(row).encode()))
    with pytest.raises(StoreError, match=r"plan.jsonl.gz in .* is damaged \(it is no plan\)"):
        store.records()


def test_pack_and_unpack(store, plan, record):
    for planned in plan[:3]:
        store.write(record(planned))
    before = {p.name: p.read_bytes() for p in store.cells.iterdir()}
    records = list(store.stored())
    assert store.pack() == 3
    assert not store.cells.exists()
    packed = (store.folder / "cells.jsonl.gz").read_bytes()
    assert sorted(r["key"] for r in store.stored()) == sorted(r["key"] for r in records)
    # A cell that is run again lies beside the pack, wins over it, and is packed with it.
    store.write(record(plan[0], status="failed"))
    assert store.statuses()[plan[0].cell.key] == "failed"
    assert len(list(store.stored())) == 3
    store.write(record(plan[0]))
    assert store.pack() == 3
    assert (store.folder / "cells.jsonl.gz").read_bytes() == packed
    assert store.unpack() == 3
    assert {p.name: p.read_bytes() for p in store.cells.iterdir()} == before
    assert not (store.folder / "cells.jsonl.gz").exists()
    with pytest.raises(StoreError, match=r"holds no cells\.jsonl\.gz to unpack"):
        store.unpack()


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-20],
        lambda raw: b"no gzip",
        lambda raw: raw[:30] + bytes(40) + raw[70:],
    ],
)
@pytest.mark.parametrize("name", ["cells.jsonl.gz", "plan.jsonl.gz"])
def test_damaged_compressed_files(store, plan, name, damage, record):
    store.write(record(plan[0]))
    store.pack()
    path = store.folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        StoreError, match=rf"{name} in .* is damaged \(it .*\). .* whole: robustbench-fl recover "
    ):
        store.records()


@pytest.mark.parametrize("line", ["3", "{}", '{"key": "0123456789abcdef"}'])
def test_a_plan_that_is_none(store, line):
    (store.folder / "plan.jsonl.gz").write_bytes(gzip.compress(line.encode()))
    with pytest.raises(StoreError, match=r"plan.jsonl.gz in .* is damaged \(it is no plan\)"):
        store.records()


def test_a_packed_record_appears_once(store, plan, record, packed_with):
    line = seal(record(plan[0]).model_dump(mode="json")).decode()
    packed_with(store, line, line)
    assert len(list(store.stored())) == 1
