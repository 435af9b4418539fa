"""Claims: one holder a cell, for as long as the holder lives, and not longer."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from robustbench_fl.core.errors import RobustbenchError
from robustbench_fl.core.places import PlaceError
from robustbench_fl.store import StoreError, runs
from robustbench_fl.store.claims import Claims, refuse_running, running
from robustbench_fl.store.runs import Watcher, claims_in

A, B = "a" * 16, "b" * 16


@pytest.fixture
def elsewhere(monkeypatch):
    """Let runs look as if they were of other machines: only signs of life tell."""
    monkeypatch.setattr(runs, "_boot", lambda: "")


def files(folder):
    return sorted(os.listdir(folder / "claims")) if (folder / "claims").is_dir() else []


def test_a_cell_is_taken_once_and_given_back(tmp_path):
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take(A)
        assert not two.take(A)
        assert two.take(B)
        assert [(run.process, cells) for run, cells in running(tmp_path)] == [(os.getpid(), 1)] * 2
        one.release(A)
        assert two.take(A)
    assert files(tmp_path) == []


def test_many_at_once_get_each_cell_once(tmp_path):
    keys = [f"{number:016x}" for number in range(60)]
    taken = []

    def work():
        with Claims(tmp_path) as mine:
            got = [key for key in keys if mine.take(key)]
            everybody.wait()
            taken.extend(got)

    everybody = threading.Barrier(4)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == keys


def test_the_claims_of_a_killed_process_are_free_at_once(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from robustbench_fl.store.claims import Claims\n"
        "held = Claims(Path(sys.argv[1])).__enter__()\n"
        "print(held.take(sys.argv[2]), flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), A], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"True\n"
    with Claims(tmp_path) as mine:
        assert not mine.take(A)
        process.kill()
        process.wait()
        process.stdout.close()
        if runs._boot():
            assert mine.take(A)
            assert {(key, number) for key, number, _ in claims_in(tmp_path / "claims")} == {(A, 0), (A, 1)}
            mine.release(A)
            assert [key for key, _, _ in claims_in(tmp_path / "claims")] == []


def test_a_silent_run_loses_its_claims_after_the_lease_and_a_beating_one_never(tmp_path, elsewhere):
    with Claims(tmp_path, beat=0.02) as alive, Claims(tmp_path, beat=60) as silent:
        assert alive.take(A)
        assert silent.take(B)
        with Claims(tmp_path, lease=0.3) as third:
            assert not third.take(B)  # seen for the first time
            deadline = time.monotonic() + 20
            while not third.take(B) and time.monotonic() < deadline:
                assert not third.take(A)
                time.sleep(0.02)
            assert B in third._held
            # The silent one wakes up and gives back what is not its own any more.
            silent.release(B)
            assert not silent.take(B)


@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_clocks_that_jump_neither_free_nor_keep_a_claim(tmp_path, elsewhere, monkeypatch, jump):
    now = [0.0]
    with Claims(tmp_path, beat=60) as other:
        other.take(A)
        watcher = Watcher(tmp_path / "claims", lease=10, clock=lambda: now[0])
        claim = tmp_path / "claims" / f"{A}.0"
        run = tmp_path / "claims" / f"{other.run}.run"
        assert watcher.is_claimed(claim)
        wall = time.time() + jump
        monkeypatch.setattr(time, "time", lambda: wall)
        os.utime(run, (wall, wall))  # a sign of life, dated by a clock that is far off
        now[0] = 9.0
        assert watcher.is_claimed(claim)
        now[0] = 18.0
        assert watcher.is_claimed(claim)  # 9 s after the sign
        now[0] = 19.5
        assert not watcher.is_claimed(claim)


def test_a_claim_whose_maker_died_while_making_it_expires(tmp_path):
    (tmp_path / "claims").mkdir()
    claim = tmp_path / "claims" / f"{A}.0"
    claim.write_bytes(b"")
    now = [0.0]
    watcher = Watcher(tmp_path / "claims", lease=10, clock=lambda: now[0])
    assert watcher.is_claimed(claim)
    now[0] = 11
    assert not watcher.is_claimed(claim)


def test_a_claim_of_a_run_that_is_gone_is_outbid(tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / f"{A}.7").write_text("0123456789abcdef")
    with Claims(tmp_path) as mine:
        assert mine.take(A)
        assert mine._held[A].name == f"{A}.8"
        mine.release(A)
        assert not [name for name in files(tmp_path) if name.startswith(A)]


def test_what_a_claim_says_makes_no_path(tmp_path):
    outside = tmp_path / "x.run"
    outside.write_text("")
    folder = tmp_path / "s" / "claims"
    folder.mkdir(parents=True)
    (folder / f"{A}.0").write_text("../../x")
    (folder / f"{B}.0").symlink_to(outside)
    before = outside.stat()
    with Claims(tmp_path / "s", lease=0.0) as mine:
        mine.take(A)
        mine.take(B)
    assert outside.stat() == before
    link = tmp_path / "t"
    link.mkdir()
    (link / "claims").symlink_to(tmp_path / "s")
    with pytest.raises(PlaceError, match="is a link"), Claims(link):
        pass


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "claims").write_text("in the way")
    with pytest.raises(RobustbenchError, match="Cannot write"), Claims(tmp_path):
        pass


def test_runs_of_a_machine_or_a_boot_that_is_gone_expire(tmp_path):
    (tmp_path / "claims").mkdir()
    gone = tmp_path / "claims" / f"{B}.run"
    words = {"boot": "0" * 16, "user": "ann", "host": "node7", "process": 12, "since": 0}
    gone.write_text(json.dumps(words))
    said = r"ann on node7, process 12, since 19.*Wait for its end to pack it\. .* --take-over"
    with pytest.raises(StoreError, match=said):
        refuse_running(tmp_path, "pack it", watched=0)  # a sign of life a moment ago
    refuse_running(tmp_path, "pack it", take_over=True, watched=0)
    os.utime(gone, (time.time() - 61,) * 2)
    refuse_running(tmp_path, "pack it", watched=0)
    beating = threading.Timer(0.05, os.utime, (gone,))
    beating.start()
    with pytest.raises(StoreError, match="ann on node7"):
        refuse_running(tmp_path, "pack it", watched=0.3)  # its clock is off, and it gave a sign
    beating.join()


def test_nobody_takes_over_from_a_run_that_is_alive_here(tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / f"{'c' * 16}.run").write_text('{"boot": "0", "user": "", "host": "x"}')
    (tmp_path / "claims" / f"{A}.0").write_text("c" * 16)
    with Claims(tmp_path) as careful, Claims(tmp_path, take_over=True) as sure:
        assert not careful.take(A)
        assert sure.take(A)
        assert careful.take(B)
        assert not sure.take(B)
        with pytest.raises(StoreError, match="alive on this machine"):
            refuse_running(tmp_path, "pack it", take_over=True, watched=0)


def test_a_running_sweep_is_not_packed_away(tmp_path):
    refuse_running(tmp_path, "pack it")
    with Claims(tmp_path), pytest.raises(StoreError, match=r"is running into .* Wait for its end to pack it"):
        refuse_running(tmp_path, "pack it")
    refuse_running(tmp_path, "pack it")
