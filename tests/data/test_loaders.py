"""Every data set that torchvision reads, on small files in the real formats."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets

from robustbench_fl.api import registry
from robustbench_fl.api.build import make
from robustbench_fl.core.errors import MissingDataError, UsageError
from robustbench_fl.data.sets import cinic10, emnist


def pixels(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.fixture(params=[("cifar10", "CIFAR10", 10), ("cifar100", "CIFAR100", 100)], ids=["10", "100"])
def cifar(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return name, folder and images of a tiny CIFAR: batches of pickled rows, red plane first."""
    name, class_name, n = request.param
    cls = getattr(datasets, class_name)
    folder = tmp_path / cls.base_folder
    folder.mkdir()
    key = "labels" if n == 10 else "fine_labels"
    images, sums = {}, {}
    for part in ("train_list", "test_list"):
        known = []
        for file, _ in getattr(cls, part):
            rows = pixels(n, 3072) if part == "train_list" else pixels(n, 3072)[::-1]
            (folder / file).write_bytes(pickle.dumps({"data": rows, key: list(range(n))}))
            known.append([file, md5(folder / file)])
            images[part] = rows.reshape(n, 3, 32, 32)
        monkeypatch.setattr(cls, part, known)
        sums[part.removesuffix("_list")] = dict(known)
    (folder / cls.meta["filename"]).write_bytes(pickle.dumps({cls.meta["key"]: list(map(str, range(n)))}))
    meta = {cls.meta["filename"]: md5(folder / cls.meta["filename"])}
    monkeypatch.setattr(cls, "meta", {**cls.meta, "md5": meta[cls.meta["filename"]]})
    monkeypatch.setattr(registry.entry("datasets", name).cls, "md5", {**sums, "names": meta})
    return name, tmp_path, folder, images


def test_cifar(cifar) -> None:
    name, place, _, images = cifar
    arrays = make("datasets", name).load(place)
    n = arrays.n_classes
    assert arrays.train_images.shape == (5 * n if n == 10 else n, 3, 32, 32)
    assert arrays.train_images.dtype == np.uint8
    assert np.array_equal(arrays.train_images[-n:], images["train_list"])
    assert np.array_equal(arrays.test_images, images["test_list"])
    assert arrays.test_labels.tolist() == list(range(n))
    assert len(arrays.mean) == len(arrays.std) == 3
    part = make("datasets", f"{name}(test=5)").load(place)
    assert len(part.test_labels) == 5


def test_damaged_cifar_is_never_unpickled(cifar) -> None:
    name, place, folder, _ = cifar
    file = sorted(folder.glob("*test*"))[0]

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(place / "exploded"),)

    file.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UsageError, match=rf"{file.name}: its MD5 is [0-9a-f]+, not [0-9a-f]+\.\nDelete it"):
        make("datasets", name).load(place)
    assert not (place / "exploded").exists()
    file.unlink()
    with pytest.raises(MissingDataError, match=rf"{name} is not there: {file.name} not found in"):
        make("datasets", name).load(place)


@pytest.fixture
def svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with tiny MATLAB files: images last, the digit 0 labelled 10."""
    known = dict(datasets.SVHN.split_list)
    for split, n in (("train", 30), ("test", 20)):
        path = tmp_path / f"{split}_32x32.mat"
        labels = (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]
        scipy.io.savemat(path, {"X": pixels(32, 32, 3, n), "y": labels})
        known[split] = [known[split][0], path.name, md5(path)]
    monkeypatch.setattr(datasets.SVHN, "split_list", known)
    sums = {split: {known[split][1]: known[split][2]} for split in ("train", "test")}
    monkeypatch.setattr(registry.entry("datasets", "svhn").cls, "md5", sums)
    return tmp_path


def test_the_files_are_those_that_torchvision_knows() -> None:
    for name, theirs in (("cifar10", datasets.CIFAR10), ("cifar100", datasets.CIFAR100)):
        known = [*theirs.train_list, *theirs.test_list, (theirs.meta["filename"], theirs.meta["md5"])]
        files = [(f"{theirs.base_folder}/{file}", digest) for file, digest in known]
        assert [(file.path, file.md5) for file in make("datasets", name).files()] == files
    sums = [tuple(datasets.SVHN.split_list[split][1:]) for split in ("train", "test")]
    assert [(file.path, file.md5) for file in make("datasets", "svhn").files()] == sums


def test_svhn(svhn: Path) -> None:
    arrays = make("datasets", "svhn").load(svhn)
    assert arrays.train_images.shape == (30, 3, 32, 32)
    assert np.array_equal(arrays.train_images[7], pixels(32, 32, 3, 30)[..., 7].transpose(2, 0, 1))
    assert arrays.train_labels[:10].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    damage(svhn / "test_32x32.mat")
    with pytest.raises(UsageError, match=r"data set svhn is damaged: .*test_32x32.mat: its MD5 is"):
        make("datasets", "svhn").load(svhn)
    shutil.rmtree(svhn)
    with pytest.raises(MissingDataError, match=r"train_32x32.mat, test_32x32.mat not found in"):
        make("datasets", "svhn").load(svhn)


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a tiny split ``letters``: idx files, transposed images, labels from 1."""
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    monkeypatch.setitem(emnist.FACTS, "letters", emnist.FACTS["letters"]._replace(train=52, test=26))
    for part, n in (("train", 52), ("test", 26)):
        images = pixels(n, 28, 28).transpose(0, 2, 1)
        head = struct.pack(">IIII", 2051, n, 28, 28)
        (raw / f"emnist-letters-{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        labels = (np.arange(n) % 26 + 1).astype(np.uint8)
        (raw / f"emnist-letters-{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, n) + labels.tobytes()
        )
    return tmp_path


def test_emnist_is_upright_and_counts_from_zero(letters: Path) -> None:
    method = make("datasets", "emnist(split=letters)")
    arrays = method.load(letters)
    assert (method.n_classes, arrays.n_classes, arrays.mean) == (26, 26, (0.172,))
    assert np.array_equal(arrays.train_images[:, 0], pixels(52, 28, 28))
    assert arrays.train_labels.tolist() == [*range(26)] * 2
    with pytest.raises(
        MissingDataError, match=r"emnist\(split=balanced\) is not there: emnist-balanced-train"
    ):
        make("datasets", "emnist").load(letters)


@pytest.mark.parametrize(("label", "found"), [(0, -1), (27, 26)])
def test_emnist_labels_out_of_range(letters: Path, label: int, found: int) -> None:
    path = letters / "EMNIST/raw/emnist-letters-test-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + bytes([label]))
    with pytest.raises(UsageError, match=rf"test-\*: it holds the label {found}; the 26 classes are 0 … 25"):
        make("datasets", "emnist(split=letters)").load(letters)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match="it has 33 bytes, not 34"):
        make("datasets", "emnist(split=letters)").load(letters)


@pytest.fixture
def cinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two PNGs a class in each split, of different modes as the real ones."""
    monkeypatch.setattr(cinic10, "A_SPLIT", 20)
    for start, split in enumerate(("train", "valid", "test")):
        for c, name in enumerate(cinic10.CLASSES):
            folder = tmp_path / "cinic10" / split / name
            folder.mkdir(parents=True)
            Image.new("RGB", (32, 32), (c, start, 7)).save(folder / "a.png")
            Image.new("L", (32, 32), 100 + c).save(folder / "b.png")
    return tmp_path


def test_cinic10(cinic: Path) -> None:
    arrays = make("datasets", "cinic10").load(cinic)
    assert arrays.train_images.shape == (20, 3, 32, 32)
    assert arrays.train_images[6, :, 0, 0].tolist() == [3, 0, 7]
    assert arrays.train_images[7, :, 0, 0].tolist() == [103, 103, 103]
    assert arrays.test_labels.tolist() == [c for c in range(10) for _ in range(2)]
    both = make("datasets", "cinic10(valid=true)").load(cinic)
    assert both.train_images[:, 1, 0, 0][::2].tolist() == [0] * 10 + [1] * 10
    assert arrays.mean[0] == pytest.approx(0.47889522)


def test_bad_cinic10(cinic: Path) -> None:
    shutil.rmtree(cinic / "cinic10/valid")
    make("datasets", "cinic10").prepare(cinic)
    with pytest.raises(MissingDataError, match=r"valid not found in .*\nIt cannot be downloaded from here"):
        make("datasets", "cinic10(valid=true)").prepare(cinic, download=True)
    picture = cinic / "cinic10/test/dog/b.png"
    Image.new("L", (31, 32)).save(picture)
    with pytest.raises(UsageError, match=r"dog/b.png: it has 31×32 pixels, not 32×32"):
        make("datasets", "cinic10").load(cinic)
    picture.write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"dog/b.png: it cannot be read as an image"):
        make("datasets", "cinic10").load(cinic)
    picture.unlink()
    with pytest.raises(UsageError, match=r"test: it holds 19 files, not 20"):
        make("datasets", "cinic10").load(cinic)
    shutil.rmtree(cinic / "cinic10/train/frog")
    with pytest.raises(UsageError, match=r"not the ten classes \(missing or more: frog\)"):
        make("datasets", "cinic10").load(cinic)


@pytest.mark.skipif("ROBUSTBENCH_FL_DATA" not in os.environ, reason="no $ROBUSTBENCH_FL_DATA with real files")
def test_the_real_fashion_mnist() -> None:
    place = Path(os.environ["ROBUSTBENCH_FL_DATA"])
    if not (place / "FashionMNIST/raw").is_dir():
        pytest.skip("no FashionMNIST/raw there")
    arrays = make("datasets", "fashion_mnist").load(place)
    assert np.bincount(arrays.train_labels).tolist() == [6000] * 10
    assert np.bincount(arrays.test_labels).tolist() == [1000] * 10
    assert arrays.train_images.mean() / 255 == pytest.approx(arrays.mean[0], abs=1e-3)
    assert arrays.train_images.std() / 255 == pytest.approx(arrays.std[0], abs=1e-3)
