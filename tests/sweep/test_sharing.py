"""Processes that share a folder: plans unite, cells are divided, the dead are stood in for."""

import os
import threading

import pytest

from robustbench_fl.core.errors import UsageError
from robustbench_fl.core.record import CellRecord, Metrics
from robustbench_fl.store import Store
from robustbench_fl.store.claims import Claims
from robustbench_fl.sweep.config import make_sweep, to_toml
from robustbench_fl.sweep.expand import expand
from robustbench_fl.sweep.run import plan_row
from robustbench_fl.sweep.runner.stopping import Stop
from robustbench_fl.sweep.sharing import run_shared, write_plan

METRICS = dict.fromkeys(Metrics.model_fields) | {
    "accuracy": 0.5, "accuracy_std": 0.0, "class_accuracy": [0.5], "worst_class_accuracy": 0.5,
}  # fmt: skip

BASE = {"name": "s", "attack": "alie", "seeds": 2}


def planned(**values):
    sweep = make_sweep({}, {**BASE, **values})
    return sweep, expand(sweep)


def record(cell, **values):
    return CellRecord(
        key=cell.cell.key, status="done", cell=dict(cell.cell.identity), labels=cell.cell.labels,
        facts=cell.facts, metrics=METRICS, **values,
    )  # fmt: skip


def runner(store, ran):
    """Return a backend that notes what it runs."""

    def run(cells):
        for cell in cells:
            ran.append(cell.cell.key)
            made = record(cell)
            store.write(made)
            yield made

    return run


def test_a_plan_written_meanwhile_is_kept(tmp_path):
    ours, our_plan = planned(aggregator="mean,median")
    theirs, their_plan = planned(aggregator="median,krum")
    # Both saw an empty folder.
    write_plan(theirs, map(plan_row, their_plan), Store(tmp_path))
    write_plan(ours, map(plan_row, our_plan), Store(tmp_path))
    held = make_sweep(Store(tmp_path).read_sweep(), {})
    assert held.grids == (*theirs.grids, *ours.grids)
    keys = [row["key"] for row in Store(tmp_path).planned()]
    assert keys == [cell.cell.key for cell in expand(held)]
    # Written again, nothing is added.
    write_plan(held, map(plan_row, expand(held)), Store(tmp_path))
    assert [row["key"] for row in Store(tmp_path).planned()] == keys


def test_other_settings_begun_meanwhile_are_refused(tmp_path):
    ours, our_plan = planned(aggregator="mean")
    theirs, their_plan = planned(aggregator="mean", rounds=3)
    write_plan(theirs, map(plan_row, their_plan), Store(tmp_path))
    with pytest.raises(UsageError, match="rounds: 3 in the folder, 20 now"):
        write_plan(ours, map(plan_row, our_plan), Store(tmp_path))
    assert Store(tmp_path).read_sweep() == to_toml(theirs)


def test_cells_are_divided_and_each_run_hears_of_all(tmp_path):
    _, plan = planned(aggregator="mean,median,krum,bulyan,meamed")
    ran, heard, barrier = ([], []), ([], []), threading.Barrier(2)

    def work(number):
        store = Store(tmp_path)
        store.statuses()
        barrier.wait()
        run_shared(plan, store, runner(store, ran[number]), heard[number].append, Stop(), lambda text: None)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = sorted(cell.cell.key for cell in plan)
    assert sorted(ran[0] + ran[1]) == keys
    assert [sorted(record.key for record in each) for each in heard] == [keys, keys]
    assert not (tmp_path / "claims").exists()


def test_the_cells_of_a_run_that_goes_are_run_here(tmp_path):
    _, plan = planned(aggregator="mean,median")
    store, ran, said = Store(tmp_path), [], []
    store.statuses()
    other = Claims(tmp_path)
    other.__enter__()
    assert other.take(plan[0].cell.key)
    assert other.take(plan[1].cell.key)

    def say(text):
        said.append(text)
        Store(tmp_path).write(record(plan[1]))  # one is finished, the other given up
        other.__exit__(None, None, None)

    heard = []
    run_shared(plan, store, runner(store, ran), heard.append, Stop(), say)
    assert ran == [plan[2].cell.key, plan[3].cell.key, plan[0].cell.key]
    assert sorted(record.key for record in heard) == sorted(cell.cell.key for cell in plan)
    assert len(said) == 1
    assert f", process {os.getpid()}, since 2" in said[0]
    assert said[0].startswith("2 cells are being run by another process in this folder (")
    assert said[0].endswith("). Waiting for it (Ctrl-C leaves them to it). If it dies, they run here.")


def test_waiting_ends_with_a_stop(tmp_path):
    _, plan = planned(aggregator="mean")
    store, stop = Store(tmp_path), Stop()
    with Claims(tmp_path) as other:
        assert all(other.take(cell.cell.key) for cell in plan)
        run_shared(plan, store, runner(store, []), lambda record: None, stop, lambda text: stop.request("x"))


def test_a_cell_to_be_run_again_is_run_unless_another_process_did(tmp_path):
    _, plan = planned(aggregator="mean")
    for cell in plan:
        Store(tmp_path).write(record(cell, reason="old"))
    store, ran, heard = Store(tmp_path), [], []
    store.statuses()
    Store(tmp_path).write(record(plan[1], reason="new"))
    run_shared(plan, store, runner(store, ran), heard.append, Stop(), lambda text: None)
    assert ran == [plan[0].cell.key]
    assert {made.key: made.reason for made in heard} == {plan[0].cell.key: None, plan[1].cell.key: "new"}
