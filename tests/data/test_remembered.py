"""Digests of files are remembered while a file stays as it is, and only then."""

from __future__ import annotations

import gzip
import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from robustbench_fl.data import digests, remembered
from robustbench_fl.data.digests import file_digest, files_digest
from robustbench_fl.data.published import Known, Packed


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the list of files that were read, as they are; files count as settled at once."""
    monkeypatch.setenv("ROBUSTBENCH_FL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remembered, "_SETTLED_NS", -(10**9))
    monkeypatch.setattr(remembered, "_in_process", {})
    found: list[Path] = []

    def counted(path: Path, algorithm: digests.Algorithm) -> str:
        found.append(path)
        return hashlib.new(algorithm, path.read_bytes()).hexdigest()

    monkeypatch.setattr(digests, "_digest", counted)
    return found


def forget() -> None:
    remembered._in_process.clear()


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, read: list[Path]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = file_digest(path)
    forget()
    assert file_digest(path) == first == hashlib.sha256(b"one").hexdigest()
    assert len(read) == 1
    before = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_digest(path) == hashlib.sha256(b"two").hexdigest()
    assert file_digest(path, anew=True) == file_digest(path)
    assert len(read) == 3
    assert file_digest(path, "md5") == hashlib.md5(b"two").hexdigest()


def test_what_is_young_is_not_remembered(tmp_path: Path, read: list[Path], monkeypatch) -> None:
    monkeypatch.setattr(remembered, "_SETTLED_NS", 10**12)
    path = tmp_path / "a"
    path.write_bytes(b"one")
    assert file_digest(path) == file_digest(path)
    assert len(read) == 2


def test_a_damaged_memory_is_made_anew(tmp_path: Path, read: list[Path]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    first = file_digest(path)
    (memory,) = (tmp_path / "cache/checked").iterdir()
    whole = memory.read_bytes()
    for broken in (b"", whole[:40], whole.replace(first.encode(), b"0" * 64), b"[]"):
        memory.write_bytes(broken)
        forget()
        with pytest.warns(UserWarning, match="is made anew: what it stands for is read again"):
            assert file_digest(path) == first
    forget()
    assert file_digest(path) == first


def test_a_folder_is_one_memory(tmp_path: Path, read: list[Path]) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode())
    files = [tmp_path / "b", tmp_path / "a"]
    sums = {name: hashlib.sha256(name.encode()).hexdigest() for name in "ab"}
    by_hand = hashlib.sha256("".join(f"{name}\0{sums[name]}\n" for name in "ab").encode()).hexdigest()
    assert files_digest(tmp_path, files) == files_digest(tmp_path, files) == by_hand
    assert len(read) == 2


def test_a_sum_published_of_the_archive_alone(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("gzip/x.gz", gzip.compress(content))
    (tmp_path / "x").write_bytes(content)
    md5 = file_digest(tmp_path / "all.zip", "md5")
    known = Known("x", len(content), packed=Packed("all.zip", md5, "gzip/x.gz"))
    assert known.wanted(tmp_path) == ("sha256", hashlib.sha256(content).hexdigest())
    assert known.fault(tmp_path) is None
    (tmp_path / "x").write_bytes(content[:-1] + b"?")
    assert "its SHA-256 is" in str(known.fault(tmp_path))
    other = Known("x", len(content), packed=Packed("all.zip", "0" * 32, "gzip/x.gz"))
    assert other.wanted(tmp_path) is other.fault(tmp_path) is None
    (tmp_path / "all.zip").unlink()
    assert known.wanted(tmp_path) is None
