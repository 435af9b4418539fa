"""Files of many lines: others can read them, every damage is found, and what is whole comes out of it."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_fl.core.sealed import Damaged
from robustbench_fl.store import lines
from robustbench_fl.store.codec import seal
from robustbench_fl.store.lines import Note, note_of, read_lines, salvaged, write_lines

SEALED = [seal({"number": number, "text": "x" * 50}) for number in range(40)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a file of 40 lines in several members."""
    path = tmp_path_factory.mktemp("lines") / "a.gz"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_MEMBER", 1000)
        assert write_lines(path, SEALED, "plan", "name = 'x'") == 40
    return path


def test_any_reader_of_gzip_sees_the_lines_and_nothing_else(whole):
    note = Note()
    assert list(read_lines(whole, "plan", note)) == SEALED
    assert gzip.decompress(whole.read_bytes()).split(b"\n")[:-1] == SEALED
    assert note == note_of(whole) == Note("plan", "name = 'x'")
    with pytest.raises(Damaged, match="is no pack"):
        list(read_lines(whole, "pack"))


def test_a_file_of_an_older_version_is_one_member(tmp_path):
    raw = gzip.compress(b"".join(line + b"\n" for line in SEALED))
    (tmp_path / "a.gz").write_bytes(raw)
    assert list(read_lines(tmp_path / "a.gz", "plan")) == SEALED
    for bad, why in (
        (raw * 2, "goes on"),
        (raw[:-9], "cut short"),
        (b"", "is empty"),
        (b"no", "decompressed"),
    ):
        (tmp_path / "a.gz").write_bytes(bad)
        with pytest.raises(Damaged, match=why):
            list(read_lines(tmp_path / "a.gz", "plan"))


@given(st.data())
def test_no_damage_changes_the_lines_that_are_read(whole, data):
    raw, path = whole.read_bytes(), whole.with_name("b.gz")
    place = data.draw(st.integers(0, len(raw) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "twice"]))
    bad = bytearray(raw)
    if kind == "flip":
        bad[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes({"flip": bytes(bad), "cut": raw[:place], "twice": raw + raw[:place]}[kind])
    if path.read_bytes() == raw:
        return
    try:
        found = list(read_lines(path, "plan"))
    except Damaged:
        return
    assert kind == "flip"  # in what gzip's header says of time and system
    assert found == SEALED


def test_a_cut_between_two_members_is_found_too(whole, tmp_path):
    raw = whole.read_bytes()
    member = raw.find(b"\x1f\x8b\x08\x00", 60)
    (tmp_path / "a.gz").write_bytes(raw[:member])
    with pytest.raises(Damaged, match="cut short: it ends after"):
        list(read_lines(tmp_path / "a.gz", "plan"))


def test_all_members_but_the_damaged_one_are_salvaged(whole, tmp_path):
    raw = bytearray(whole.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 4] = b"\0\0\0\0"
    (tmp_path / "a.gz").write_bytes(raw)
    found = {line for line, _ in salvaged(tmp_path / "a.gz")} & set(SEALED)
    per_member = 13
    assert 40 - per_member <= len(found) < 40
    assert {SEALED[0], SEALED[-1]} <= found


def test_a_line_beyond_all_bounds_is_not_taken_in(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST", 1000)
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x" * 100_000))
    with pytest.raises(Damaged, match="holds a line of more than"):
        list(read_lines(tmp_path / "a.gz", "plan"))
