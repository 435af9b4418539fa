"""The lock of a folder's plan."""

import errno
import fcntl
import threading
import time

import pytest

from robustbench_fl.store import StoreError
from robustbench_fl.store.lock import locked


def test_one_at_a_time_and_nothing_is_left(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(5):
            with locked(tmp_path / "s"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20
    assert list((tmp_path / "s").iterdir()) == []


def test_patience_ends(tmp_path):
    with locked(tmp_path), pytest.raises(StoreError, match="does not end"), locked(tmp_path, patience=0.1):
        pass


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.warns(UserWarning, match=r"has no locks \(No locks available\)"), locked(tmp_path):
        pass
