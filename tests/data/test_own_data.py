"""A user's own arrays and pictures: read, refused, and named by their content."""

from __future__ import annotations

import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustbench_fl.api import Dataset
from robustbench_fl.api.build import content_text, identity_of, make, text_of
from robustbench_fl.core.errors import MissingDataError, PartitionError, UsageError
from robustbench_fl.notebook import run_cell
from robustbench_fl.sweep.config import make_sweep
from robustbench_fl.sweep.expand import canonical, expand

N, TESTS = 40, 12


def arrays_for(**changed) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    arrays = {
        "x_train": rng.integers(0, 256, (N, 6, 5, 3)).astype(np.uint8),
        "y_train": np.arange(N) % 4,
        "x_test": rng.integers(0, 256, (TESTS, 6, 5, 3)).astype(np.uint8),
        "y_test": (np.arange(TESTS) % 4).astype(np.uint8),
        "class_names": np.array(list("abcd")),
    }
    arrays.update(changed)
    return {name: value for name, value in arrays.items() if value is not None}


def written(folder: Path, name: str = "own.npz", **changed) -> Dataset:
    np.savez(folder / name, **arrays_for(**changed))
    return make("datasets", f"npz(path={name})")


def test_npz(tmp_path: Path) -> None:
    arrays = written(tmp_path).load(tmp_path)
    raw = arrays_for()
    assert np.array_equal(arrays.train_images, raw["x_train"].transpose(0, 3, 1, 2))
    assert arrays.test_labels.tolist() == raw["y_test"].tolist()
    assert (arrays.n_classes, arrays.full_scale, arrays.columns) == (4, 255.0, {})
    pixels = raw["x_train"].reshape(-1, 3) / 255
    assert arrays.mean == pytest.approx(tuple(pixels.mean(axis=0)), rel=1e-12)
    assert arrays.std == pytest.approx(tuple(pixels.std(axis=0)), rel=1e-12)


def test_npz_options(tmp_path: Path) -> None:
    grey = {f"x_{part}": arrays_for()[f"x_{part}"][..., 0] for part in ("train", "test")}
    written(tmp_path, **grey)
    method = make("datasets", "npz(path=own.npz, classes=6, mean=[0.5], std=[0.25], train=8, test=4)")
    arrays = method.load(tmp_path)
    assert arrays.train_images.shape == (8, 1, 6, 5)
    assert sorted(arrays.train_labels.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert (arrays.n_classes, arrays.mean, arrays.std) == (6, (0.5,), (0.25,))
    whole = make("datasets", "npz(path=own.npz)").load(tmp_path)
    part = make("datasets", "npz(path=own.npz, train=8)").load(tmp_path)
    assert part.mean == whole.mean  # constants are those of all training images
    with pytest.raises(UsageError, match="mean has 2 values for 1 channels"):
        make("datasets", "npz(path=own.npz, mean=[0.5, 0.1])").load(tmp_path)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"y_test": None}, r"holds no y_test, only x_train, y_train, x_test, class_names"),
        ({"x_train": np.zeros((N, 6, 5, 3))}, "x_train is float64, not uint8"),
        ({"x_train": np.zeros((N, 3, 6, 5), np.uint8)}, r"x_train has the shape \(40, 3, 6, 5\)"),
        ({"x_test": np.zeros((TESTS, 90), np.uint8)}, r"x_test has the shape \(12, 90\)"),
        ({"x_test": np.zeros((TESTS, 6, 6, 3), np.uint8)}, "test images are 3×6×6, training images 3×6×5"),
        ({"y_train": np.arange(N - 1) % 4}, "it holds 40 images and 39 labels"),
        ({"y_train": np.eye(4)[np.arange(N) % 4]}, r"y_train is float64 of shape \(40, 4\)"),
        ({"y_train": np.arange(N) % 4 - 1}, "it holds the label -1; the 3 classes are 0 … 2"),
        ({"y_test": np.arange(TESTS) % 5}, "it holds the label 4; the 4 classes are 0 … 3"),
        ({"x_test": np.zeros((0, 6, 5, 3), np.uint8), "y_test": np.zeros(0, int)}, "it holds no images"),
        ({"x_train": np.zeros((N, 6, 5, 3), np.uint8)}, r"channel of the training images is constant; give"),
        ({"users_train": np.arange(3)}, r"users_train is int64 of shape \(3,\), not 40 whole numbers"),
        ({"y_train": np.array([None] * N, object)}, "y_train holds Python objects, which are not read"),
        ({"y_train": np.arange(N) + 2**40}, "holds the label 1099511627815; at most 32,768 classes"),
        ({"y_train": np.arange(N, dtype=np.uint64) + 2**63}, "it holds the label -9223372036854775808"),
    ],
)
def test_bad_arrays(tmp_path: Path, changed: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        written(tmp_path, **changed).load(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda content: content[: len(content) // 2], "it is no whole archive of arrays"),
        (lambda content: content[:400] + bytes(100) + content[500:], r"it is no whole archive .*CRC-32"),
        (lambda content: b"", "it is no whole archive"),
        (lambda content: pickle.dumps([1, 2]), "it is no whole archive"),
    ],
)
def test_bad_file(tmp_path: Path, change, says: str) -> None:
    method = written(tmp_path)
    path = tmp_path / "own.npz"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(UsageError, match=f"npz is damaged: .*own.npz: {says}"):
        method.load(tmp_path)


def test_a_header_that_lies_is_refused_before_room_is_made(tmp_path: Path) -> None:
    method = written(tmp_path)
    for shape, says in (
        ("(1099511627776,)", "takes 1,099,511,627,776 bytes"),
        ("(99999,)", "its header says"),
    ):
        header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
        lie = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(40)
        with zipfile.ZipFile(tmp_path / "own.npz") as old:
            kept = {name: old.read(name) for name in old.namelist()} | {"x_train.npy": lie}
        with zipfile.ZipFile(tmp_path / "own.npz", "w", zipfile.ZIP_DEFLATED) as new:
            for name, content in kept.items():
                new.writestr(name, content)
        with pytest.raises(UsageError, match=says):
            method.load(tmp_path)


def test_one_array_is_not_several(tmp_path: Path) -> None:
    with (tmp_path / "own.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UsageError, match=r"it is no whole archive of arrays .*; write it with np.savez"):
        make("datasets", "npz(path=own.npz)").load(tmp_path)


def test_where_files_may_lie(tmp_path: Path) -> None:
    written(tmp_path)
    inside = make("datasets", f"npz(path='{tmp_path}/own.npz')").pinned(tmp_path)
    assert inside.path == "own.npz"
    for path in ("../own.npz", str(tmp_path.parent / "own.npz"), "."):
        with pytest.raises(UsageError, match=r"is not in the data directory .*\n.*--data-dir"):
            make("datasets", f"npz(path='{path}')").pinned(tmp_path)
    with pytest.raises(MissingDataError, match=r"there is no file .*absent.npz\.\n.*--data-dir"):
        make("datasets", "npz(path=absent.npz)").pinned(tmp_path)


def test_content_is_the_name_and_the_place_is_not(tmp_path: Path) -> None:
    first = written(tmp_path).pinned(tmp_path)
    (tmp_path / "deep").mkdir()
    shutil.copy(tmp_path / "own.npz", tmp_path / "deep" / "copy.npz")
    copy = make("datasets", "npz(path=deep/copy.npz)").pinned(tmp_path)
    other = written(tmp_path, "other.npz", y_test=np.arange(TESTS)[::-1] % 4).pinned(tmp_path)
    assert identity_of(first) == identity_of(copy) != identity_of(other)
    assert "path" not in identity_of(first)[0]["params"]
    texts = [text_of(first), text_of(copy)]
    assert texts[0] != texts[1]
    assert content_text("datasets", texts[0]) == content_text("datasets", texts[1])
    again = make("datasets", texts[1])
    assert again == copy
    written(tmp_path, "deep/copy.npz", y_test=np.arange(TESTS)[::-1] % 4)
    with pytest.raises(UsageError, match=rf"has the digest [0-9a-f]{{16}}, but {copy.digest} is asked for"):
        again.prepare(tmp_path)


def test_a_copy_elsewhere_gives_the_same_cell_and_numbers(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "deep").mkdir()
    shutil.copy(tmp_path / "own.npz", tmp_path / "deep" / "copy.npz")
    settings = {"clients": 4, "rounds": 2, "root_size": 4, "malicious": 0.25}
    one, two = (
        run_cell(
            aggregator="mean", attack="sign_flip", dataset=f"npz(path={path})", model="logistic",
            partition="iid", data_dir=tmp_path, **settings,
        )
        for path in ("own.npz", "deep/copy.npz")
    )  # fmt: skip
    assert one.key == two.key
    assert one.curves == two.curves
    assert one.record.labels.dataset.startswith("npz(path=own.npz, digest=")


def test_a_plan_reads_back_without_the_file(tmp_path: Path) -> None:
    written(tmp_path)
    point = {"aggregator": "mean", "attack": "none", "dataset": "npz(path=own.npz)"}
    planned = canonical(make_sweep({}, point, "test"), data_dir=tmp_path)
    (tmp_path / "own.npz").unlink()
    assert [p.cell.key for p in expand(planned)] == [
        p.cell.key for p in expand(canonical(planned, data_dir=tmp_path))
    ]


def test_writers_are_a_column(tmp_path: Path) -> None:
    names = np.array([f"writer {i % 7}" for i in range(N)])
    method = written(tmp_path, users_train=names)
    arrays = method.load(tmp_path)
    assert arrays.columns["users"].tolist() == [i % 7 for i in range(N)]
    part = make("datasets", "npz(path=own.npz, train=8)").load(tmp_path)
    assert len(part.columns["users"]) == 8
    cell = {"aggregator": "mean", "dataset": "npz(path=own.npz)", "model": "logistic", "rounds": 1}
    cell |= {"partition": "by_column", "root_size": 4, "malicious": 0.0, "data_dir": tmp_path}
    assert run_cell(**cell, clients=7).status == "done"
    with pytest.raises(RuntimeError, match="7 different values are too few for 8 clients"):
        run_cell(**cell, clients=8)
    with pytest.raises(RuntimeError, match="no column 'colour'"):
        run_cell(**{**cell, "partition": "by_column(column=colour)"}, clients=2)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder of pictures of many sizes and kinds: two classes, reddish and bluish."""
    for part, n in (("train", 6), ("test", 2)):
        for c, name in enumerate(("blue", "red")):
            folder = tmp_path / "pictures" / part / name
            folder.mkdir(parents=True)
            for i in range(n):
                colour = (200, 10 * i, 0) if c else (0, 10 * i, 200)
                Image.new("RGB", (10 + i, 20)).save(folder / f"{i}.bmp")
                Image.new("RGB", (10 + i, 20), colour).save(folder / f"{i}.png")
    return tmp_path


def test_image_folder(pictures: Path) -> None:
    method = make("datasets", "image_folder(path=pictures, size=8)")
    arrays = method.load(pictures)
    assert method.image_shape == arrays.train_images.shape[1:] == (3, 8, 8)
    assert arrays.train_labels.tolist() == [0] * 12 + [1] * 12
    assert arrays.train_images[1, :, 4, 4].tolist() == [0, 0, 200]
    assert arrays.n_classes == 2
    grey = make("datasets", "image_folder(path=pictures, size=8, grey=true, train=4)").load(pictures)
    assert grey.train_images.shape == (4, 1, 8, 8)
    first = method.pinned(pictures)
    (pictures / "pictures/test/red/0.png").rename(pictures / "pictures/test/red/9.png")
    assert method.pinned(pictures).digest != first.digest


def test_bad_folders(pictures: Path) -> None:
    method = make("datasets", "image_folder(path=pictures)")
    broken = pictures / "pictures/train/red/3.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(UsageError, match=r"red/3.png: it cannot be read as an image"):
        method.load(pictures)
    broken.unlink()
    os.mkfifo(broken)  # opening it to read would wait for ever
    with pytest.raises(UsageError, match=r"red/3.png: .*no ordinary file"):
        method.load(pictures)
    broken.unlink()
    broken.write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"
    )  # a reader would start Ghostscript
    with pytest.raises(UsageError, match=r"red/3.png: .*UnidentifiedImageError"):
        method.load(pictures)
    Image.fromarray(np.full((8, 8), 300, np.uint16)).save(broken)  # which Pillow makes 255
    with pytest.raises(UsageError, match=r"red/3.png: its pixels have more than 8 bits"):
        method.load(pictures)
    Image.new("L", (9000, 9000)).save(broken)
    with pytest.raises(UsageError, match=r"red/3.png: it has 9000×9000 pixels; at most 50,000,000"):
        method.load(pictures)
    broken.unlink()
    shutil.rmtree(pictures / "pictures/test/blue")
    with pytest.raises(UsageError, match="train and test do not both have the classes blue"):
        method.load(pictures)
    shutil.rmtree(pictures / "pictures/test")
    with pytest.raises(MissingDataError, match=r"there is no folder .*test"):
        method.load(pictures)


def test_an_empty_class_folder(pictures: Path) -> None:
    for part in ("train", "test"):
        (pictures / "pictures" / part / "green").mkdir()
    with pytest.raises(UsageError, match=r"image_folder is damaged: .*green"):
        make("datasets", "image_folder(path=pictures)").load(pictures)


def test_partition_errors_are_for_people(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(PartitionError, match="npz with an array users_train"):
        make("partitions", "by_column").split(np.zeros(9, dtype=np.int64), 2, 3, rng)
