"""The sealed form: any damage is found, nothing whole is refused."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustbench_fl.core.sealed import Damaged, read_sealed, sealed, unsealed, write_sealed

WHOLE = sealed("note", b"name = 'x'\n")


def test_what_is_sealed_is_read_back_and_stays_toml(tmp_path):
    write_sealed(tmp_path / "a", "note", b"name = 'x'\n")
    assert read_sealed(tmp_path / "a", "note") == b"name = 'x'\n"
    assert tomllib.loads((tmp_path / "a").read_text()) == {"name": "x"}
    assert unsealed("note", sealed("note", b"")) == b""


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "is empty"),
        (b"name = 'x'\n", "does not begin with its checksum"),
        (WHOLE[:30], "does not begin with its checksum"),
        (WHOLE[:60], "was cut short or grew"),
        (WHOLE[:-1], "was cut short or grew"),
        (WHOLE * 2, "was cut short or grew"),
        (WHOLE.replace(b"'x'", b"'y'"), "its checksum does not fit"),
        (sealed("picture", b"name = 'x'\n"), "is no note"),
    ],
)
def test_damage_is_named(raw, why):
    with pytest.raises(Damaged, match=why):
        unsealed("note", raw)


def test_a_link_is_not_followed(tmp_path):
    write_sealed(tmp_path / "a", "note", b"x")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(Damaged, match="cannot be read"):
        read_sealed(tmp_path / "b", "note")
    with pytest.raises(FileNotFoundError):
        read_sealed(tmp_path / "c", "note")


@given(st.data())
def test_no_byte_can_change_unnoticed(data):
    bad = bytearray(WHOLE)
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Damaged):
        unsealed("note", bytes(bad))
