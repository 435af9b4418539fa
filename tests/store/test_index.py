"""The index: only what changed is read, and nothing it says is believed against the files."""

import importlib.util
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import robustbench_fl
from robustbench_fl.analysis.frame import frame
from robustbench_fl.store import Store, catalogue, folder
from robustbench_fl.store.catalogue import LONG_PARTS

ROOT = Path(robustbench_fl.__file__).parent.parent
pytestmark = [
    pytest.mark.skipif(not (ROOT / "setup.cfg").is_file(), reason="needs the source checkout"),
    pytest.mark.filterwarnings("ignore:.*Its cell counts as missing"),
]


def fakes():
    spec = importlib.util.spec_from_file_location("fakes", ROOT / "benchmarks" / "fakes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Return a folder of 20 cells that keeps an index, read once when its files had settled."""
    monkeypatch.setattr(catalogue, "LARGE", 1)
    store = fakes().fake_folder(tmp_path / "small", 20)
    time.sleep(0.06)
    assert len(store.statuses()) == 20
    assert (store.folder / catalogue.INDEX).is_file()
    return store.folder


@pytest.fixture
def reads(monkeypatch):
    """Return the list of files that are read from now on."""
    seen = []
    original = catalogue.read_file

    def noting(path):
        seen.append(os.path.basename(path))
        return original(path)

    monkeypatch.setattr(catalogue, "read_file", noting)
    return seen


def everything(folder):
    store = Store(folder)
    return store.statuses(), list(store.summaries()), store.records(), store.problems()


def test_only_what_changed_is_read(small, reads):
    paths = sorted((small / "cells").iterdir())
    assert len(Store(small).statuses()) == 20
    assert reads == []
    changed = paths[3].read_bytes()
    paths[3].write_bytes(changed[:100])
    paths[5].unlink()
    os.utime(paths[7])
    assert len(Store(small).statuses()) == 18
    assert sorted(reads) == [paths[3].name, paths[7].name]
    # A damaged file is known as such too, and told again.
    time.sleep(0.06)
    Store(small).statuses()
    reads.clear()
    with pytest.warns(UserWarning, match=paths[3].name):
        assert len(Store(small).statuses()) == 18
    assert reads == []
    paths[3].write_bytes(changed)
    assert len(Store(small).statuses()) == 19


def test_an_edit_of_the_same_size_and_time_is_noticed(small):
    path = sorted((small / "cells").iterdir())[0]
    before = path.stat()
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"done"', b'"dome"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert len(Store(small).statuses()) == 19


def test_summaries_are_records_without_their_long_parts(small):
    store = Store(small)
    short = [{k: v for k, v in record.items() if k not in LONG_PARTS} for record in store.records()]
    assert list(store.summaries()) == short
    assert frame(store.summaries()).equals(frame(store.records()).drop(columns="_images"))


def test_packed_cells_are_indexed_too(small, reads):
    before = everything(small)
    assert Store(small).pack() == 20
    time.sleep(0.06)
    assert everything(small) == before
    reads.clear()
    assert everything(small) == before
    assert reads == []
    assert Store(small).unpack() == 20
    assert everything(small) == before


@pytest.mark.parametrize("packed", [False, True])
def test_the_first_look_reads_each_record_once(tmp_path, monkeypatch, packed):
    place = fakes().fake_folder(tmp_path / "s", 20, packed=packed).folder
    seen = []
    for module in (catalogue, folder):
        original = module.unseal
        monkeypatch.setattr(
            module, "unseal", lambda raw, *a, _o=original, **k: seen.append(raw) or _o(raw, *a, **k)
        )
    found = Store(place).records()
    assert len(seen) == len(set(seen)) == len(found) == 20
    assert sorted(Store(place).stored(), key=lambda one: one["key"]) == sorted(
        Store(place).stored(held=True), key=lambda one: one["key"]
    )


def test_a_small_folder_gets_no_index(tmp_path):
    store = fakes().fake_folder(tmp_path / "s", 20)
    assert len(store.statuses()) == 20
    assert not (store.folder / catalogue.INDEX).exists()


def sql(statement):
    def spoil(path):
        database = sqlite3.connect(path)
        database.executescript(statement)
        database.close()

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no database at all" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        sql("CREATE TABLE foreign_one (x)"),
        sql("PRAGMA user_version = 3"),
        sql("UPDATE heads SET status = 'failed'"),
        sql("UPDATE bodies SET body = '{}'"),
        sql("DELETE FROM bodies"),
        sql("UPDATE heads SET key = CAST(x'6162ff' AS TEXT)"),
    ],
)
def test_a_damaged_or_foreign_index_is_made_anew_silently(small, spoil, recwarn):
    before = everything(small)
    spoil(small / catalogue.INDEX)
    assert everything(small) == before
    assert not recwarn.list
    assert everything(small) == before


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_of_the_index_changes_what_is_read(small, data):
    path = small / catalogue.INDEX
    before = everything(small)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    assert everything(small) == before


def test_an_index_copied_from_another_folder_is_of_no_use_and_no_harm(small, tmp_path, monkeypatch):
    other = fakes().fake_folder(tmp_path / "other", 30).folder
    shutil.copy2(small / catalogue.INDEX, other / catalogue.INDEX)
    assert len(Store(other).statuses()) == 30
    shutil.copytree(small, tmp_path / "copy")
    assert everything(tmp_path / "copy") == everything(small)


def test_a_link_in_its_place_is_not_written_through(small, tmp_path):
    outside = tmp_path / "precious"
    outside.write_bytes((small / catalogue.INDEX).read_bytes())
    (small / catalogue.INDEX).unlink()
    (small / catalogue.INDEX).symlink_to(outside)
    before = outside.read_bytes()
    next((small / "cells").iterdir()).unlink()
    assert len(Store(small).statuses()) == 19
    assert outside.read_bytes() == before


def test_two_readers_at_once(small):
    holder = sqlite3.connect(small / catalogue.INDEX)
    holder.execute("BEGIN IMMEDIATE")
    next((small / "cells").iterdir()).unlink()
    assert len(Store(small).statuses()) == 19
    holder.rollback()
    holder.close()
    assert len(Store(small).statuses()) == 19


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere: a read-only folder cannot be made")
@pytest.mark.parametrize("indexed", [True, False])
def test_a_read_only_folder(small, indexed):
    if not indexed:
        (small / catalogue.INDEX).unlink()
    before = everything(small)
    if not indexed:
        (small / catalogue.INDEX).unlink(missing_ok=True)
    for path in (small, small / "cells"):
        path.chmod(0o555)
    try:
        assert everything(small) == before
        assert (small / catalogue.INDEX).exists() == indexed
    finally:
        for path in (small, small / "cells"):
            path.chmod(0o755)


def test_ten_thousand_cells_are_read_in_seconds(tmp_path):
    """The bounds are ten times what an idle core takes (benchmarks/README.md), of processor time."""
    store = fakes().fake_folder(tmp_path / "s", 10_000)
    time.sleep(0.06)
    for seconds, action in (
        (12, lambda: store.statuses()),
        (1.5, lambda: Store(store.folder).statuses()),
        (10, lambda: frame(Store(store.folder).summaries())),
    ):
        before = time.process_time()
        assert len(action()) == 10_000
        assert time.process_time() - before < seconds
