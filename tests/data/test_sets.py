from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from robustbench_fl.api.build import make, text_of
from robustbench_fl.core.errors import MissingDataError, UsageError
from robustbench_fl.data.sets import _mnist_like
from robustbench_fl.data.sets.fashion_mnist import FashionMnist

SHAPES = {"train": 30, "t10k": 20}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small, well-formed imitation of the Fashion-MNIST files."""
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, n in SHAPES.items():
        images = np.random.default_rng(n).integers(0, 256, (n, 28, 28)).astype(np.uint8)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 2051, n, 28, 28) + images.tobytes()
        )
        labels = (np.arange(n) % 10).astype(np.uint8)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, n) + labels.tobytes())
    sizes = {path.name: path.stat().st_size for path in raw.iterdir()}
    monkeypatch.setattr(_mnist_like, "FILES", sizes)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in raw.iterdir()}
    monkeypatch.setattr(FashionMnist, "sha256", sums)
    return tmp_path


def test_digits() -> None:
    arrays = make("datasets", "digits").load(Path())
    assert arrays.train_images.shape == (1438, 1, 8, 8)
    assert arrays.train_images.dtype == np.uint8
    assert arrays.train_images.max() == 16
    assert set(np.bincount(arrays.test_labels)) == {35, 36, 37}
    assert arrays.mean[0] == pytest.approx(arrays.train_images.mean() / 16, abs=1e-4)
    assert arrays.std[0] == pytest.approx(arrays.train_images.std() / 16, abs=1e-4)


def test_synthetic_is_fixed_balanced_and_as_hard_as_asked() -> None:
    method = make("datasets", "synthetic(classes=4, side=6, samples=400, test=100, separation=5)")
    arrays, again = method.load(Path()), method.load(Path())
    assert np.array_equal(arrays.train_images, again.train_images)
    assert method.image_shape == arrays.train_images.shape[1:] == (1, 6, 6)
    assert method.n_classes == 4
    assert np.bincount(arrays.train_labels).tolist() == [100] * 4
    flat, test = arrays.train_images.reshape(400, -1), arrays.test_images.reshape(100, -1)
    means = np.stack([flat[arrays.train_labels == c].mean(axis=0) for c in range(4)])
    assert np.linalg.norm(means, axis=1) == pytest.approx(5, rel=0.15)
    nearest = ((test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == arrays.test_labels).mean() > 0.95


def test_reading_the_files(folder: Path) -> None:
    arrays = make("datasets", "fashion_mnist").load(folder)
    assert arrays.train_images.shape == (30, 1, 28, 28)
    assert arrays.train_labels.tolist() == [*range(10)] * 3
    assert (arrays.mean, arrays.std, arrays.full_scale) == ((0.286,), (0.353,), 255.0)


def test_parts_are_stratified_fixed_and_nested(folder: Path) -> None:
    small = make("datasets", "fashion_mnist(train=10, test=10)").load(folder)
    again = make("datasets", "fashion_mnist(train=10)").load(folder)
    larger = make("datasets", "fashion_mnist(train=20)").load(folder)
    assert sorted(small.train_labels.tolist()) == list(range(10)) == sorted(small.test_labels.tolist())
    assert np.array_equal(small.train_images, again.train_images)
    larger_set = {image.tobytes() for image in larger.train_images}
    assert all(image.tobytes() in larger_set for image in small.train_images)
    with pytest.raises(UsageError, match="train=31 asks for more than the 30 images"):
        make("datasets", "fashion_mnist(train=31)").load(folder)
    assert text_of(make("datasets", "fashion_mnist(train=10)")) == "fashion_mnist(train=10)"


def test_missing_files_say_what_where_and_how(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError) as caught:
        make("datasets", "mnist").load(tmp_path)
    message = str(caught.value)
    assert "train-images-idx3-ubyte" in message
    assert str(tmp_path / "MNIST" / "raw") in message
    assert "--download" in message
    assert "--data-dir" in message
    assert not list(tmp_path.iterdir())  # offline unless asked


def test_one_missing_file_is_named_alone(folder: Path) -> None:
    (folder / "FashionMNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(MissingDataError, match=r"is not there: t10k-labels-idx1-ubyte not found in"):
        make("datasets", "fashion_mnist").load(folder)


def test_failed_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    def offline(*_: object, **__: object) -> None:
        raise RuntimeError("Error downloading train-images:\nTried mirror, got: no route")

    monkeypatch.setattr(datasets.FashionMNIST, "download", offline)
    with pytest.raises(
        MissingDataError, match=r"could not be downloaded to .*no route\nCheck the connection"
    ):
        make("datasets", "fashion_mnist").load(tmp_path, download=True)


def test_truncated_file(folder: Path) -> None:
    path = folder / "FashionMNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        UsageError, match=r"is damaged: .*train-images-idx3-ubyte: it has 23436 bytes, not 23536"
    ):
        make("datasets", "fashion_mnist").load(folder)


def test_one_changed_byte_is_noticed(folder: Path) -> None:
    path = folder / "FashionMNIST/raw/train-labels-idx1-ubyte"
    method = make("datasets", "fashion_mnist")
    method.prepare(folder)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UsageError, match=r"is damaged: .*train-labels-idx1-ubyte: its SHA-256 is .*, not "):
        method.prepare(folder)
