"""One copy for all processes: written once, the same bit for bit, made anew when broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from robustbench_fl.api import Arrays
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import UsageError
from robustbench_fl.data.shared import copy_of, differences, share, shared

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder with a small npz, beside an empty cache."""
    monkeypatch.setenv("ROBUSTBENCH_FL_CACHE", str(tmp_path / "cache"))
    write(tmp_path, 60)
    return tmp_path


def write(folder: Path, n: int, side: int = 8) -> None:
    rng = np.random.default_rng(n)
    images = rng.integers(0, 256, (n, side, side, 3)).astype(np.uint8)
    labels, users = np.arange(n) % 5, np.arange(n) % 9
    np.savez(
        folder / "own.npz", x_train=images, y_train=labels, x_test=images[: n // 6], y_test=labels[: n // 6],
        users_train=users,
    )  # fmt: skip


def method(folder: Path, **options: int):
    inside = "".join(f", {name}={value}" for name, value in options.items())
    return make("datasets", f"npz(path=own.npz{inside})").pinned(folder)


def is_mapped(arrays: Arrays) -> bool:
    return isinstance(arrays.train_images, np.memmap) and isinstance(arrays.test_labels, np.memmap)


def test_the_copy_is_the_set_bit_for_bit(place: Path) -> None:
    for dataset in (method(place), method(place, train=20, test=5)):
        share(dataset, place)
        found, fresh = shared(dataset, place), dataset.load(place)
        assert is_mapped(found)
        assert differences(found, fresh) == []
        assert found.columns["users"].tolist() == fresh.columns["users"].tolist()
    assert len(list((place / "cache/arrays").iterdir())) == 2


def test_without_share_the_first_reader_writes_it(place: Path) -> None:
    assert copy_of(method(place), place) is None
    assert is_mapped(shared(method(place), place))
    assert copy_of(method(place), place) is not None


def test_a_write_stays_private(place: Path) -> None:
    dataset = method(place)
    first = shared(dataset, place)
    before = int(first.train_images[0, 0, 0, 0])
    torch.from_numpy(first.train_images)[0] = 255 - before
    assert int(shared(dataset, place).train_images[0, 0, 0, 0]) == before


def test_changed_files_are_another_copy(place: Path) -> None:
    share(method(place), place)
    write(place, 66)
    assert len(shared(method(place), place).train_labels) == 66


@pytest.mark.parametrize("broken", ["train_images.npy", "test_labels.npy", "column-0.npy", "facts.json"])
@pytest.mark.parametrize("how", ["cut", "gone", "other", "flipped"])
def test_a_broken_copy_is_made_anew(place: Path, broken: str, how: str) -> None:
    dataset = method(place)
    share(dataset, place)
    copy = copy_of(dataset, place)
    assert copy is not None
    path = copy.folder / broken
    content = path.read_bytes()
    path.unlink()
    if how != "gone":
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        path.write_bytes({"cut": content[: len(content) // 2], "other": b"[1, 2]", "flipped": flipped}[how])
    with pytest.raises(UsageError, match=r"The shared copy .*: delete "):
        copy_of(dataset, place)
    with pytest.warns(UserWarning, match="It is made anew"):
        shared(dataset, place)
    for _ in range(2):
        found = shared(dataset, place)
        assert is_mapped(found)
        assert differences(found, dataset.load(place)) == []


def test_where_nothing_can_be_written_each_reads_for_itself(place: Path, monkeypatch) -> None:
    (place / "file").write_text("")
    monkeypatch.setenv("ROBUSTBENCH_FL_CACHE", str(place / "file"))
    dataset = method(place)
    with pytest.warns(UserWarning, match=r"cannot be written to .*file .*ROBUSTBENCH_FL_CACHE"):
        share(dataset, place)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once, not by every worker
        found = shared(dataset, place)
    assert not is_mapped(found)
    assert differences(found, dataset.load(place)) == []


def test_sets_without_files_are_not_written(place: Path) -> None:
    share(make("datasets", "digits"), place)
    assert not (place / "cache").exists()


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's PSS")
@pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="needs the source checkout")
def test_two_workers_hold_one_copy(place: Path) -> None:
    write(place, 10_000, side=48)  # 81 MB
    command = [sys.executable, ROOT / "benchmarks/memory.py", "--workers", "2"]
    done = subprocess.run(
        [*map(str, command), "--data-dir", str(place), "--dataset", "npz(path=own.npz)"],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["one_copy_bytes"] > 80e6
    assert 0.9 < found["copies"] <= 1.3, found
