"""Archives and pictures of strangers: a sentence before room is made, nothing unpickled, nothing run."""

from __future__ import annotations

import io
import os
import random
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robustbench_fl.api.build import make
from robustbench_fl.core.errors import UsageError

SOAK = os.environ.get("ROBUSTBENCH_FL_SOAK") == "1"
NPZ, PICTURES = make("datasets", "npz(path=own.npz)"), make("datasets", "image_folder(path=p, size=4)")
MOST_MB = 40
"""Of memory, which a refusal may take."""


def member(
    descr: str = "'|u1'", shape: str = "(8, 4, 4, 1)", order: str = "False", body: bytes = bytes(128)
) -> bytes:
    """Return an array's file with such a header."""
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header + body


def archive(**members: bytes) -> bytes:
    """Return an archive of images and labels, some of its members replaced or added."""
    images, labels = np.arange(128, dtype=np.uint8).reshape(8, 4, 4, 1), np.arange(8) % 2
    whole = io.BytesIO()
    np.savez(whole, x_train=images, y_train=labels, x_test=images, y_test=labels)
    with zipfile.ZipFile(whole) as made:
        content = {name: made.read(name) for name in made.namelist()} | members
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name, raw in content.items():
            made.writestr(name, raw)
    return packed.getvalue()


def _pickled() -> bytes:
    raw = io.BytesIO()
    np.save(raw, np.array([os.system], dtype=object), allow_pickle=True)
    return raw.getvalue()


def _floats(*values: float) -> bytes:
    raw = io.BytesIO()
    np.save(raw, np.array(values * 8)[:8])
    return raw.getvalue()


X, Y = "x_train.npy", "y_train.npy"
ARCHIVES: dict[str, bytes] = {
    "objects": archive(**{Y: _pickled()}),
    "labels that are no numbers": archive(**{Y: _floats(np.nan)}),
    "labels without end": archive(**{Y: _floats(np.inf, 1.0)}),
    "a negative length": archive(**{X: member(shape="(-8, -16)")}),
    "a huge length": archive(**{X: member(shape=f"({2**62}, {2**62})")}),
    "no images of huge size": archive(**{X: member(shape=f"(0, {2**62}, 4, 1)", body=b"")}),
    "a wide type": archive(**{X: member(descr=f"'|V{2**31 - 1}'", shape="(1,)")}),
    "a huge type": archive(**{X: member(descr=f"[('a', '<f8', ({2**40}, {2**40}))]", shape="(1,)")}),
    "code for a header": archive(**{X: member(shape="__import__('os').system('touch ran')")}),
    "a deep header": archive(**{X: member(shape="-" * 9_000 + "1")}),
    "nested brackets": archive(**{X: member(shape="(" * 9_000)}),
    "a long header": archive(**{X: member(descr="'" + "a" * 10**7 + "'")}),
    "a header of zeros": archive(**{X: b"\x93NUMPY\x02\x00" + b"\xff" * 4 + bytes(10**6)}),
    "another version": archive(**{X: b"\x93NUMPY\x09\x00" + bytes(200)}),
    "no array": archive(**{X: b"\x7fELF" + bytes(300)}),
    "nothing": archive(**{X: b""}),
    "no archive": b"PK\x03\x04" + bytes(50),
    "half of one": archive()[:300],
    "a bomb": archive(**{X: member(shape=f"({2**40},)", body=bytes(10**7))}),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_lies_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.npz").write_bytes(ARCHIVES[kind])
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match=r"npz is damaged: .*own\.npz: "):
            NPZ.load(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < MOST_MB << 20
    finally:
        tracemalloc.stop()
    assert os.listdir(tmp_path) == ["own.npz"]


def test_names_in_an_archive_lead_nowhere(tmp_path: Path) -> None:
    names = ("../out.npy", "/tmp/out_train.npy", "a/../../out_train.npy", "x" * 9000)
    column = member("'<i8'", "(8,)", body=bytes(64))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "own.npz").write_bytes(archive(**dict.fromkeys(names, column)))
    assert len(NPZ.load(tmp_path / "d").train_labels) == 8
    assert os.listdir(tmp_path) == ["d"]
    assert os.listdir(tmp_path / "d") == ["own.npz"]


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a picture whose header says so, whatever follows."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = [(b"IHDR", head), *chunks, (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in packed]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _picture(form: str, **how: Any) -> bytes:
    raw = io.BytesIO()
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(raw, form, **how)
    return raw.getvalue()


BAD_PICTURES: dict[str, bytes] = {
    "many pixels": png(60_000, 60_000, (b"IDAT", zlib.compress(bytes(99)))),
    "a long side": png(2**31 - 1, 1, (b"IDAT", zlib.compress(bytes(99)))),
    "no side": png(0, 5, (b"IDAT", b"")),
    "few pixels for its header": png(900, 900, (b"IDAT", zlib.compress(bytes(99)))),
    "a text that unpacks to much": png(
        9, 9, *[(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**7)))] * 9, (b"IDAT", zlib.compress(bytes(99)))
    ),
    "a program for a printer": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(ran) (w) file\n",
    "a document": b"%PDF-1.4\n",
    "a drawing": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "an array": b"\x93NUMPY",
    "half a picture": _picture("JPEG")[:200],
    "nothing": b"",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder with two classes of good pictures."""
    for part in ("train", "test"):
        for name in "ab":
            (tmp_path / "p" / part / name).mkdir(parents=True)
            for number, form in enumerate(("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")):
                (tmp_path / "p" / part / name / f"{number}.{form.lower()}").write_bytes(_picture(form))
    return tmp_path


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_a_picture_that_is_none_is_refused(kind: str, folder: Path) -> None:
    (folder / "p/train/a/0.png").write_bytes(BAD_PICTURES[kind])
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match=r"image_folder is damaged: .*0\.png: "):
            PICTURES.load(folder)
        assert tracemalloc.get_traced_memory()[1] < MOST_MB << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", ["pipe", "device", "socket", "folder", "nowhere"])
def test_what_is_no_file_is_no_picture(what: str, folder: Path) -> None:
    bad = folder / "p/train/a/0.png"
    bad.unlink()
    match what:
        case "pipe":
            os.mkfifo(bad)
        case "device":
            bad.symlink_to("/dev/zero")
        case "socket":
            import socket

            with socket.socket(socket.AF_UNIX) as made:
                made.bind(os.path.relpath(bad))
        case "folder":
            bad.mkdir()
        case _:
            bad.symlink_to("/nowhere/0.png")
    if what == "folder":
        assert len(PICTURES.load(folder).train_images) == 11
        return
    with pytest.raises(UsageError, match=r"image_folder is damaged: .*0\.png: .*cannot be read"):
        PICTURES.load(folder)


def test_links_that_lead_back_end_and_what_they_lead_to_is_in_the_digest(folder: Path) -> None:
    apart = folder / "apart"
    apart.mkdir()
    for number in range(8):
        (folder / "p/train/a" / f"circle{number}").symlink_to("..")
    plain = PICTURES.pinned(folder).digest
    assert len(PICTURES.load(folder).train_images) == 18  # all of the other class, by way of a link
    (folder / "p/train/a/more").symlink_to(apart)
    (apart / "x.png").write_bytes(_picture("PNG"))
    assert len(PICTURES.load(folder).train_images) == 19
    one = PICTURES.pinned(folder).digest
    (apart / "x.png").write_bytes(BAD_PICTURES["a long side"])
    assert len({plain, one, PICTURES.pinned(folder).digest}) == 3


def test_a_picture_may_have_a_name_that_is_no_text(folder: Path) -> None:
    path = folder / "p/train/a" / os.fsdecode(b"\xff\n\x1b[2J.png")
    path.write_bytes(_picture("PNG"))
    method = PICTURES.pinned(folder)
    assert len(method.load(folder).train_images) == 13
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="image_folder is damaged"):
        PICTURES.load(folder)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["npz", *(("pictures",) if SOAK else ())])
def test_any_damage_is_a_sentence_or_the_same(kind: str, folder: Path) -> None:
    rng, outcomes = random.Random(kind), Counter[str]()
    (folder / "own.npz").write_bytes(archive())
    method, paths = (NPZ, [folder / "own.npz"])
    if kind == "pictures":
        method, paths = PICTURES, sorted((folder / "p/train").glob("*/*"))
    for _ in range(400 if SOAK else 60):
        path = rng.choice(paths)
        raw = path.read_bytes()
        bad = bytearray(raw[: rng.randrange(1, len(raw))] if rng.random() < 0.2 else raw)
        for _ in range(rng.choice((1, 4, 40))):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        path.write_bytes(bad)
        try:
            with warnings.catch_warnings():
                method.load(folder)
            outcomes["read"] += 1
        except UsageError:
            outcomes["refused"] += 1
        path.write_bytes(raw)
    print(f"\n{kind}: {dict(outcomes)}")
    assert outcomes["refused"]
